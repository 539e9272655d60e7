"""Message push: an e-mail is rendered and put into a local maildir, where any mail client can read it."""

import mailbox
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

from app import engine

from angelica import Context

MAILDIR = Path(__file__).parent / "output" / "maildir"


@dataclass
class Letter:
    """What to send, and to whom."""

    to: str
    subject: str
    text: str


@engine.task(profile="write", queue="mail", labels={"kind": "push"})
def send_mail(context: Context, letter: Letter) -> str:
    """Render a letter and deliver it; the result is its key in the maildir."""
    message = EmailMessage()
    message["From"] = "angelica@localhost"
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Date"] = formatdate()
    # A task may run twice: the same id lets the receiver's side drop the double.
    message["Message-ID"] = f"<{context.id}@localhost>"
    message.set_content(letter.text)
    MAILDIR.parent.mkdir(exist_ok=True)
    key = mailbox.Maildir(MAILDIR, create=True).add(message)
    context.log.info("delivered to %s", letter.to)
    return key


@engine.task(durable=False, overflow="drop_oldest")
async def page_viewed(path: str) -> None:
    """Count a page view: microseconds, in memory, and no harm if it is lost with the process."""
    views[path] = views.get(path, 0) + 1


views: dict[str, int] = {}
