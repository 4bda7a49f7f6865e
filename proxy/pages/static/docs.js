// The docs page: buttons that copy, the place in the contents, and the form to try a model.
// The key is in the form's field alone: it is never stored, never part of a URL, and cleared when the page is left.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);

  // Copy buttons.
  for (const figure of document.querySelectorAll("figure.code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const text = figure.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        // Without HTTPS there is no clipboard: select the text, so that it can be copied by hand.
        getSelection().selectAllChildren(figure.querySelector("code"));
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    figure.append(button);
  }

  // The place in the contents.
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || !links.has(entry.target.id)) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id).setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  for (const part of document.querySelectorAll("section[id], .sample[id]")) seen.observe(part);

  // Try it.
  const form = byId("try-form");
  if (!form) return;
  const field = (name) => byId(`try-${name}`);
  const output = field("output");
  const objectUrls = [];
  let running = null;
  form.hidden = false;
  field("without").hidden = true;

  const LABELS = {
    embeddings: ["Texts, one on each line", "billing webhook retry policy\ninvoice payment failed"],
    image: ["Prompt", "A lighthouse in fog, watercolour"],
    speech: ["Text to speak", "The deployment is done."],
    moderation: ["Text to check", "What a lovely day."],
    rerank: ["The query, then one document on each line", "How does a stream end?\nRefunds take five days.\nStreams end with [DONE]."],
    search: ["Query", "streaming gateways"],
  };
  const HINTS = {
    400: "Change the request as the message says.",
    401: "Check the key: it must begin as the field shows, and not be revoked or expired.",
    403: "Change what you ask for.",
    404: "Choose a model that this key may use.",
    413: "Choose a smaller file.",
    429: "Wait for the time that the message names, and send again.",
    500: "Send again. If it goes on, give the operator the request's id.",
    502: "The model's provider failed. Send again in a moment.",
    503: "The gateway takes no new work right now. Send again in a moment.",
    504: "The model's provider took too long. Send again, or ask for less.",
  };

  const capability = () => field("model").selectedOptions[0]?.dataset.capability ?? "";

  function showFields() {
    const kind = capability();
    for (const part of form.querySelectorAll("[data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(kind);
    }
    if (kind === "image" && !("edits" in field("model").selectedOptions[0].dataset)) {
      field("image").closest("label").hidden = true;
    }
    const [label, text] = LABELS[kind] ?? ["Message", "What is a streaming gateway?"];
    field("input-label").textContent = label;
    const known = Object.values(LABELS).some((one) => one[1] === field("input").value);
    if (known || !field("input").value || field("input").value === "What is a streaming gateway?") {
      field("input").value = text;
    }
  }

  function status(text) {
    field("status").textContent = text;
  }

  function showError(title, text, hint, id) {
    const box = field("error");
    box.replaceChildren();
    const strong = document.createElement("strong");
    strong.textContent = title;
    box.append(strong, ` ${text} `);
    if (hint) box.append(hint, " ");
    const link = document.createElement("a");
    link.href = "/errors#codes";
    link.textContent = "All codes";
    box.append(link);
    if (id) box.append(` · request ${id}`);
    box.hidden = false;
  }

  function showFigures(pairs) {
    const list = field("figures");
    list.replaceChildren();
    for (const [name, value] of pairs) {
      if (value === undefined || value === null || value === "") continue;
      const box = document.createElement("div");
      const term = document.createElement("dt");
      const description = document.createElement("dd");
      term.textContent = name;
      description.textContent = value;
      box.append(term, description);
      list.append(box);
    }
    list.hidden = list.childElementCount === 0;
  }

  function say(text) {
    output.hidden = false;
    output.append(text);
  }

  function objectUrl(blob) {
    const url = URL.createObjectURL(blob);
    objectUrls.push(url);
    return url;
  }

  function clear() {
    output.replaceChildren();
    output.hidden = true;
    field("error").hidden = true;
    field("figures").hidden = true;
    while (objectUrls.length) URL.revokeObjectURL(objectUrls.pop());
  }

  const asDataUrl = (file) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => reject(new Error("The file cannot be read."));
      reader.readAsDataURL(file);
    });

  const milliseconds = (value) => (value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(2)} s`);
  const dollars = (text) => (text && /^[0-9.]+$/.test(text) ? `$${text.replace(/(\.\d\d+?)0+$/, "$1")}` : text || "unknown");

  // One request: the path, the body, and what is done with a response that is a success.
  async function requestOf(kind, model) {
    const text = field("input").value;
    const lines = text.split("\n").filter((line) => line.trim());
    const image = field("image").files[0];
    const json = (path, body, show) => ({ path, body: JSON.stringify({ model, ...body }), json: true, show });
    const form_ = (path, values, show) => {
      const body = new FormData();
      body.append("model", model);
      for (const [name, value] of Object.entries(values)) body.append(name, value);
      return { path, body, show };
    };
    switch (kind) {
      case "embeddings":
        return json("/v1/embeddings", { input: lines.length ? lines : [text] }, showEmbeddings);
      case "audio": {
        const file = field("audio").files[0];
        if (!file) throw new Error("Choose an audio file first.");
        return form_("/v1/audio/transcriptions", { file, response_format: "json" }, async (response) => {
          const result = await response.json();
          say(result.text ?? "");
          return result.usage;
        });
      }
      case "speech":
        return json("/v1/audio/speech", { input: text, voice: field("voice").value || "alloy", response_format: "wav" }, showSpeech);
      case "image":
        if (image && !field("image").closest("label").hidden) {
          return form_("/v1/images/edits", { prompt: text, image, response_format: "b64_json" }, showImages);
        }
        return json("/v1/images/generations", { prompt: text, response_format: "b64_json" }, showImages);
      case "moderation":
        return json("/v1/moderations", { input: text }, showModeration);
      case "rerank":
        return json("/v1/rerank", { query: lines[0] ?? "", documents: lines.slice(1) }, async (response) => {
          const result = await response.json();
          say(result.results.map((one) => `${one.relevance_score.toFixed(4)}  ${lines[one.index + 1]}`).join("\n"));
          return result.usage;
        });
      case "search":
        return json("/v1/search", { query: text }, async (response) => {
          const result = await response.json();
          say((result.results ?? []).map((one) => `${one.title}\n${one.url}\n${one.snippet ?? ""}`).join("\n\n"));
          return result.usage;
        });
      case "ocr": {
        if (!image) throw new Error("Choose an image first.");
        const document_ = { type: "image_url", image_url: await asDataUrl(image) };
        return json("/v1/ocr", { document: document_ }, async (response) => {
          const result = await response.json();
          say((result.pages ?? []).map((page) => page.markdown).join("\n\n"));
          return result.usage;
        });
      }
      default: {
        let content = text;
        if (kind === "vision" && image) {
          content = [
            { type: "text", text },
            { type: "image_url", image_url: { url: await asDataUrl(image) } },
          ];
        }
        const stream = field("stream").checked;
        return json(
          "/v1/chat/completions",
          { messages: [{ role: "user", content }], ...(stream ? { stream } : {}) },
          stream ? showStream : showChat,
        );
      }
    }
  }

  async function showChat(response) {
    const result = await response.json();
    const message = result.choices?.[0]?.message;
    say(message?.content ?? message?.refusal ?? JSON.stringify(message?.tool_calls ?? message ?? null, null, 2));
    return result.usage;
  }

  // Events as they arrive: each word is in the page before the next one is there.
  async function showStream(response, times) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    let usage;
    let whole = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      held += value;
      const lines = held.split(/\r?\n/);
      held = lines.pop();
      for (const line of lines) {
        if (line.startsWith(": prism-cost ")) {
          const [cost, ...counts] = line.slice(13).split(" ");
          const found = Object.fromEntries(counts.map((one) => one.split("=")));
          usage = { prompt_tokens: found.input_tokens, completion_tokens: found.output_tokens, cost, source: found.usage };
        } else if (line === "data: [DONE]") {
          whole = true;
        } else if (line.startsWith("data:")) {
          const event = JSON.parse(line.slice(5));
          if (event.error) throw Object.assign(new Error(event.error.message), { code: event.error.code });
          const delta = event.choices?.[0]?.delta;
          const text = delta?.content ?? delta?.refusal ?? "";
          if (text) {
            times.first ??= performance.now();
            times.last = performance.now();
            say(text);
          }
        }
      }
    }
    if (!whole) throw new Error("The stream broke off before its end.");
    return usage;
  }

  async function showEmbeddings(response) {
    const result = await response.json();
    const vectors = result.data.map((one) => one.embedding);
    const dot = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
    const size = (a) => Math.sqrt(dot(a, a));
    const of = vectors.length === 1 ? "1 vector" : `${vectors.length} vectors`;
    const parts = [`${of} of ${vectors[0].length} numbers`];
    for (const [at, vector] of vectors.entries()) {
      parts.push(`${at + 1}: [${vector.slice(0, 6).map((value) => value.toFixed(4)).join(", ")}, …]`);
    }
    for (let at = 1; at < vectors.length; at++) {
      const near = dot(vectors[0], vectors[at]) / (size(vectors[0]) * size(vectors[at]));
      parts.push(`Similarity of 1 and ${at + 1}: ${near.toFixed(4)}`);
    }
    say(parts.join("\n"));
    return result.usage;
  }

  async function showImages(response) {
    const result = await response.json();
    for (const one of result.data ?? []) {
      if (one.b64_json) {
        const bytes = Uint8Array.from(atob(one.b64_json), (letter) => letter.charCodeAt(0));
        const image = document.createElement("img");
        image.alt = field("input").value;
        image.src = objectUrl(new Blob([bytes], { type: `image/${result.output_format ?? "png"}` }));
        say(image);
      } else {
        say(`${one.url}\n`);
      }
    }
    return result.usage;
  }

  async function showSpeech(response, times) {
    const type = response.headers.get("content-type") ?? "audio/wav";
    const parts = [];
    for (let reader = response.body.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      times.first ??= performance.now();
      parts.push(value);
    }
    const audio = document.createElement("audio");
    audio.controls = true;
    audio.src = objectUrl(new Blob(parts, { type }));
    say(audio);
  }

  async function showModeration(response) {
    const result = await response.json();
    const found = result.results[0];
    const names = Object.entries(found.categories).filter(([, flagged]) => flagged).map(([name]) => name);
    say(found.flagged ? `Flagged: ${names.join(", ")}` : "Nothing was found.");
    return result.usage;
  }

  async function refused(response) {
    const id = response.headers.get("x-request-id");
    let error = {};
    try {
      error = (await response.json()).error ?? {};
    } catch {
      // No JSON: the status says what is known.
    }
    const hint = error.type === "budget_exceeded" ? "Send less, or wait until the budget resets." : HINTS[response.status];
    showError(`${response.status} ${error.code ?? ""}`.trim() + ":", error.message ?? response.statusText, hint, id);
    status("Refused.");
  }

  async function send(event) {
    event.preventDefault();
    if (running) return;
    clear();
    const key = field("key").value.trim();
    if (!key) {
      showError("No key:", "Type an API key of this gateway into the field.", "", "");
      field("key").focus();
      return;
    }
    const model = field("model").value;
    const controller = (running = new AbortController());
    field("send").disabled = true;
    field("stop").disabled = false;
    status("Waiting for the first word…");
    const times = { start: performance.now() };
    let response;
    try {
      const request = await requestOf(capability(), model);
      const headers = { authorization: `Bearer ${key}`, "x-prism-include-metadata": "1" };
      if (request.json) headers["content-type"] = "application/json";
      times.start = performance.now();
      response = await fetch(request.path, {
        method: "POST",
        headers,
        body: request.body,
        signal: controller.signal,
        credentials: "omit",
        cache: "no-store",
      });
      if (!response.ok) {
        await refused(response);
        return;
      }
      const usage = (await request.show(response, times)) ?? {};
      figures(response, usage, times);
      status("Done.");
    } catch (error) {
      if (controller.signal.aborted) {
        status("Stopped. What was sent until then is charged.");
      } else {
        const hint = response ? "Send again." : "Check the connection, and send again.";
        const id = response?.headers.get("x-request-id");
        const title = error.code ? `${error.code}:` : "Failed:";
        const unreachable = error instanceof TypeError && !response;
        const text = unreachable ? "The gateway cannot be reached." : error.message;
        // What is missing in the form says so itself.
        showError(title, text, unreachable || response ? hint : "", id);
        status("Failed.");
      }
    } finally {
      running = null;
      field("send").disabled = false;
      field("stop").disabled = true;
    }
  }

  function figures(response, usage, times) {
    const end = performance.now();
    const input = usage.prompt_tokens ?? usage.input_tokens;
    const written = usage.completion_tokens ?? usage.output_tokens;
    const seconds = times.last > times.first ? (times.last - times.first) / 1000 : 0;
    showFigures([
      ["Time to first token", times.first === undefined ? undefined : milliseconds(times.first - times.start)],
      ["Tokens per second", seconds && written > 1 ? ((written - 1) / seconds).toFixed(1) : undefined],
      ["Total", milliseconds(end - times.start)],
      ["Input tokens", input],
      ["Output tokens", written],
      ["Cost", dollars(usage.cost ?? response.headers.get("x-prism-cost"))],
      ["Request", response.headers.get("x-request-id")],
    ]);
  }

  // What a key may use, from the contract for agents: it names the models, the limits, and what is left of both.
  async function look() {
    const key = field("key").value.trim();
    const list = field("allowed");
    list.hidden = true;
    for (const option of field("model").options) option.disabled = false;
    if (!key) return;
    let text;
    try {
      const response = await fetch("/agent-spec.md", {
        headers: { authorization: `Bearer ${key}` },
        credentials: "omit",
        cache: "no-store",
      });
      if (!response.ok) {
        await refused(response);
        return;
      }
      text = await response.text();
    } catch {
      // The request itself will say that the gateway cannot be reached.
      return;
    }
    field("error").hidden = true;
    const part = (name) => {
      const lines = text.split("\n");
      const from = lines.indexOf(`${name}:`) + 1;
      const to = lines.findIndex((line, at) => at >= from && /^[a-z ]+:$/.test(line));
      return from ? lines.slice(from, to < 0 ? undefined : to).filter(Boolean) : [];
    };
    const names = new Set(part("models").map((line) => line.split(": ")[0]));
    for (const option of field("model").options) option.disabled = !names.has(option.value);
    if (field("model").selectedOptions[0]?.disabled) {
      const first = [...field("model").options].find((option) => !option.disabled);
      if (first) field("model").value = first.value;
      showFields();
    }
    list.replaceChildren(
      ...part("key").map((line) => {
        const item = document.createElement("li");
        item.textContent = line.replace(/^- /, "");
        return item;
      }),
    );
    list.hidden = list.childElementCount === 0;
    status("");
  }

  function forget() {
    field("key").value = "";
    if (running) running.abort();
  }

  form.addEventListener("submit", send);
  field("stop").addEventListener("click", () => running?.abort());
  field("model").addEventListener("change", showFields);
  field("key").addEventListener("change", look);
  field("input").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  addEventListener("pagehide", forget);
  addEventListener("pageshow", () => {
    if (!running) forget();
  });
  showFields();
})();
