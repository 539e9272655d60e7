// Draws openapi.json as text: no markup is ever taken from the document.
"use strict";

const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
};

const table = (title, heads, rows) => {
  const part = document.createDocumentFragment();
  part.append(make("h3", title));
  const node = make("table");
  const head = node.createTHead().insertRow();
  for (const text of heads) head.append(make("th", text));
  const body = node.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const text of row) line.insertCell().textContent = text;
  }
  part.append(node);
  return part;
};

const schemaName = (content) => {
  const first = Object.entries(content || {})[0];
  if (!first) return "–";
  const ref = first[1].schema && first[1].schema.$ref;
  return (ref ? ref.split("/").pop() : "JSON") + " (" + Object.keys(content).join(", ") + ")";
};

const operation = (method, path, op) => {
  const box = make("details");
  box.id = op.operationId;
  const head = make("summary");
  head.append(make("span", method.toUpperCase(), "method"), make("span", path, "path"), make("span", op.summary, "what"));
  const body = make("div");
  if (op.parameters && op.parameters.length)
    body.append(table("Parameters", ["name", "in", "meaning"], op.parameters.map((p) => [p.name, p.in, p.description || ""])));
  if (op.requestBody) body.append(make("h3", "Body"), make("p", schemaName(op.requestBody.content)));
  body.append(table("Answers", ["status", "body", "meaning"], Object.entries(op.responses).map(
    ([status, answer]) => [status, schemaName(answer.content), answer.description || ""])));
  box.append(head, body);
  return box;
};

const draw = (doc) => {
  const main = document.getElementById("main");
  document.getElementById("about").textContent = doc.info.title + " " + doc.info.version + ", OpenAPI " + doc.openapi;
  const groups = new Map();
  for (const [path, methods] of Object.entries(doc.paths))
    for (const [method, op] of Object.entries(methods)) {
      const tag = (op.tags && op.tags[0]) || "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(method, path, op));
    }
  for (const [tag, boxes] of groups) main.append(make("h2", tag), ...boxes);
  main.append(make("h2", "schemas"));
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    const box = make("details");
    box.id = "schema-" + name;
    const body = make("div");
    body.append(make("pre", JSON.stringify(schema, null, 2)));
    const head = make("summary");
    head.append(make("span", name, "path"));
    box.append(head, body);
    main.append(box);
  }
};

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(draw)
  .catch((error) => { document.getElementById("about").textContent = "openapi.json could not be read: " + error; });
