// Makes one call of each kind with OpenAI's package, and prints what it read as one JSON object. It judges nothing:
// tests/test_sdk_node.py does. Usage: node calls.mjs BASE_URL KEY
import OpenAI, { toFile } from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const model = "prometheus-core";
const messages = [{ role: "user", content: "demo:tokens=3" }];
const weather = {
  name: "weather",
  parameters: { type: "object", properties: { model: { type: "string" } }, required: ["model"] },
};

// A second of silence: 16-bit samples, one channel.
function silence(rate = 24_000) {
  const bytes = Buffer.alloc(44 + rate * 2);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + rate * 2, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(rate * 2, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(rate * 2, 40);
  return bytes;
}

async function all(stream) {
  const seen = [];
  for await (const one of await stream) seen.push(one);
  return seen;
}

async function failure(call) {
  try {
    await call;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, requestID: error.requestID };
  }
  return null;
}

const calls = {
  chat: async () => {
    const answer = await client.chat.completions.create({ model, messages });
    return { ...answer, request_id: answer._request_id };
  },
  chat_stream: () => all(client.chat.completions.create({ model, messages, stream: true })),
  chat_stream_with_usage: () =>
    all(client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })),
  chat_helper: async () => {
    const stream = client.chat.completions.stream({ model, messages });
    return await stream.finalChatCompletion();
  },
  tools: () =>
    client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "What is the weather?" }],
      tools: [{ type: "function", function: weather }],
      tool_choice: { type: "function", function: { name: "weather" } },
    }),
  response: () => client.responses.create({ model, input: "demo:tokens=3" }),
  response_stream: () => all(client.responses.create({ model, input: "demo:tokens=3", stream: true })),
  embeddings: () => client.embeddings.create({ model: "prometheus-atlas", input: ["one", "two"], dimensions: 8 }),
  models: () => all(client.models.list()),
  one_model: () => client.models.retrieve(model),
  transcription: async () =>
    client.audio.transcriptions.create({ model: "prometheus-echo", file: await toFile(silence(), "a.wav") }),
  speech: async () => {
    const answer = await client.audio.speech.create({
      model: "prometheus-voice",
      input: "hi",
      voice: "alloy",
      response_format: "wav",
    });
    return Buffer.from(await answer.arrayBuffer()).subarray(0, 4).toString("latin1");
  },
  image: async () => (await client.images.generate({ model: "prometheus-canvas", prompt: "a fox" })).data.length,
  moderation: () => client.moderations.create({ model: "prometheus-guard", input: "hello" }),
  file: async () => {
    const made = await client.files.create({ file: await toFile(Buffer.from("hello"), "a.txt"), purpose: "user_data" });
    return await (await client.files.content(made.id)).text();
  },
  unknown_alias: () => failure(client.chat.completions.create({ model: "prometheus-cor", messages })),
  wrong_key: () => failure(new OpenAI({ baseURL, apiKey: "prom_sk_wrong", maxRetries: 0 }).models.list()),
  given_up: async () => {
    const stream = await client.chat.completions.create({
      model,
      messages: [{ role: "user", content: "demo:tokens=100000" }],
      stream: true,
    });
    for await (const one of stream) return one.model;
  },
};

const found = {};
for (const [name, call] of Object.entries(calls)) found[name] = await call();
process.stdout.write(JSON.stringify(found));
