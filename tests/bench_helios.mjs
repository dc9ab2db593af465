// How long Helios (WebAssembly) takes for the mainnet fixture: node bench_helios.mjs FIXTURE_FOLDER CHECKPOINT, from a folder with @a16z/helios.
// It gets the clock of the fixture and a beacon API on loopback; the time between an answer and its next question is its work, with HTTP and JSON.
// Prints {"committee_update": ms, "finality_update": ms}. Afterwards it wants a whole beacon block, which the fixture does not have.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, checkpoint] = process.argv.slice(2);
const read = (name) => {
  const value = JSON.parse(readFileSync(join(folder, `${name}.json`)));
  return Array.isArray(value) ? value[0] : value;
};
const finality = read("FinalityUpdateDeneb");
const { attested_header, sync_aggregate, signature_slot } = finality.data;
const answers = {
  bootstrap: read("BootstrapDeneb"),
  updates: [read("UpdateDeneb")],
  finality_update: finality,
  optimistic_update: { version: finality.version, data: { attested_header, sync_aggregate, signature_slot } },
};
for (const name in answers) answers[name] = JSON.stringify(answers[name]);

const GENESIS_S = 1606824023;
const real = Date.now;
const shift = (GENESIS_S + 12 * (Number(signature_slot) + 1)) * 1000 - real();
Date.now = () => real() + shift;

const asked = [];
const server = createServer((request, response) => {
  const name = /light_client\/([a-z_]+)/.exec(request.url)?.[1];
  asked.push({ name: name ?? request.url, at: performance.now() });
  response.statusCode = name in answers ? 200 : 404;
  response.setHeader("content-type", "application/json");
  response.end(answers[name] ?? "{}");
  asked.at(-1).answered = performance.now();
  if (asked.length == 4) report();
});

function report() {
  const order = asked.map((question) => question.name.split("/").slice(0, 5).join("/")).join(" ");
  if (order !== "bootstrap updates finality_update /eth/v2/beacon/blocks") throw new Error(`asked otherwise: ${order}`);
  const [, updates, head, block] = asked;
  process.stdout.write(JSON.stringify({ committee_update: head.at - updates.answered, finality_update: block.at - head.answered }) + "\n");
  process.exit(0);
}

server.listen(0, "127.0.0.1", async () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const module = createRequire(join(process.cwd(), "package.json")).resolve("@a16z/helios").replace("lib.umd.js", "lib.mjs");
  const { createHeliosProvider } = await import(pathToFileURL(module));
  await createHeliosProvider({ executionRpc: url, consensusRpc: url, checkpoint, network: "mainnet", dbType: "config" }, "ethereum");
});
