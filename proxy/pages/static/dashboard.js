// What the dashboard adds where scripts run: charts that follow the pointer, requests as they end, a drawer for one of
// them. Without it every page is whole. Texts are set as texts, never as markup.
"use strict";

const $ = (selector, of = document) => of.querySelector(selector);
const $$ = (selector, of = document) => [...of.querySelectorAll(selector)];
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

// charts

function written(value, metric) {
  if (value === null || value === undefined) return "–";
  if (metric === "cost") {
    return "$" + value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: value < 1 ? 6 : 2 });
  }
  return value.toLocaleString("en-US");
}

function drawChart(figure) {
  const data = JSON.parse($("script", figure).textContent);
  if (!window.uPlot || !data.lines.length) return;
  // Each line is drawn as the sum of itself and those below it, the highest first: what is lower covers the rest.
  const sums = [];
  data.lines.forEach((line, at) => sums.push(line.values.map((value, place) => value + (at ? sums[at - 1][place] : 0))));
  const colourOf = at => colour(`--c${data.lines[at].name === "other" && at === data.lines.length - 1 ? 9 : (at % 8) + 1}`);
  const order = sums.map((_, at) => at).reverse();
  const places = data.starts.map((_, place) => place);
  const tip = element("div", "tip");
  tip.hidden = true;
  const bars = window.uPlot.paths.bars({ size: [0.8, 48], align: 0 });
  const options = {
    width: figure.clientWidth,
    height: 240,
    legend: { show: false },
    cursor: { y: false, points: { show: false } },
    scales: { x: { time: false, range: () => [-0.6, places.length - 0.4] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    axes: [
      {
        stroke: () => colour("--muted"),
        grid: { show: false },
        ticks: { show: false },
        size: 26,
        space: 84,
        incrs: [1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 168, 336],
        values: (_, splits) => splits.map(at => data.periods[at] ?? ""),
      },
      {
        stroke: () => colour("--muted"),
        grid: { stroke: () => colour("--line"), width: 1 },
        ticks: { show: false },
        size: 62,
        values: (_, splits) => splits.map(value => (data.metric === "cost" ? "$" : "") + value.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 4 })),
      },
    ],
    series: [{}, ...order.map(at => ({ label: data.lines[at].name, fill: () => colourOf(at), stroke: () => colourOf(at), width: 0, paths: bars, points: { show: false } })), { label: "period before", stroke: () => colour("--muted"), width: 1.5, dash: [5, 4], points: { show: false } }],
    hooks: {
      setCursor: [
        plot => {
          const at = plot.cursor.idx;
          tip.hidden = at === null || at === undefined || plot.cursor.left < 0;
          if (tip.hidden) return;
          tip.replaceChildren(element("strong", "", data.periods[at]));
          for (const line of [...data.lines].reverse()) {
            if (!line.values[at]) continue;
            const row = element("div");
            row.append(element("span", "", line.name), element("span", "", written(line.values[at], data.metric)));
            tip.append(row);
          }
          if (data.previous[at] !== undefined) {
            const row = element("div", "fine");
            row.append(element("span", "", "period before"), element("span", "", written(data.previous[at], data.metric)));
            tip.append(row);
          }
          const left = plot.cursor.left + 62;
          tip.style.top = "8px";
          tip.style.left = left > figure.clientWidth / 2 ? "" : `${left + 16}px`;
          tip.style.right = left > figure.clientWidth / 2 ? `${figure.clientWidth - left + 16}px` : "";
        },
      ],
    },
  };
  for (const drawn of $$("svg, .axis, .top", figure)) drawn.style.display = "none";
  const box = element("div");
  box.setAttribute("aria-hidden", "true");
  figure.append(box, tip);
  const before = places.map(place => data.previous[place] ?? null);
  const plot = new window.uPlot(options, [places, ...order.map(at => sums[at]), before], box);
  new ResizeObserver(() => plot.setSize({ width: figure.clientWidth, height: 240 })).observe(figure);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.redraw());
}

// requests as they end

const MAX_ROWS = 200;

function cell(row, text, classes) {
  row.append(element("td", classes, text));
  return row.lastChild;
}

function liveRow(one) {
  const row = element("tr", "new");
  const time = element("td", "nowrap");
  const link = element("a", "", one.time);
  link.href = `/dashboard/requests/${encodeURIComponent(one.id)}`;
  link.dataset.drawer = "";
  time.append(link);
  row.append(time);
  const status = cell(row, "");
  status.append(element("span", `status s${Math.floor(one.status / 100)}`, one.status));
  for (const [text, classes] of one.cells) cell(row, text, classes);
  return row;
}

function followRequests(box) {
  const body = $(box.dataset.into);
  const button = $("button", box);
  const words = $("[role=status]", box);
  const missed = $(".missed", box);
  let source = null;
  let last = box.dataset.last || "";
  let seen = 0;
  let dropped = 0;
  const say = (state, text) => {
    box.dataset.state = state;
    words.textContent = text;
  };
  const stop = () => {
    if (source) source.close();
    source = null;
    button.textContent = "Follow";
    say("off", "Paused");
  };
  const start = () => {
    const url = new URL(box.dataset.source, location.href);
    if (last) url.searchParams.set("last", last);
    source = new EventSource(url);
    button.textContent = "Pause";
    say("wait", "Connecting");
    source.addEventListener("open", () => say("on", "Live"));
    source.addEventListener("request", event => {
      last = event.lastEventId || last;
      const one = JSON.parse(event.data);
      if (document.getElementById(one.id)) return;
      const row = liveRow(one);
      row.id = one.id;
      body.prepend(row);
      seen += 1;
      words.textContent = `Live, ${seen} new`;
      while (body.rows.length > MAX_ROWS) body.deleteRow(-1);
      const empty = $("#no-requests");
      if (empty) empty.hidden = true;
    });
    source.addEventListener("dropped", event => {
      dropped += JSON.parse(event.data).count;
      missed.textContent = `${dropped} more are not in this list; load the page again to see them.`;
    });
    source.addEventListener("end", event => {
      const { reason, again } = JSON.parse(event.data);
      source.close();
      source = null;
      if (again) setTimeout(start, 1000);
      else {
        button.textContent = "Follow";
        say("lost", reason);
      }
    });
    source.addEventListener("error", () => {
      if (!source) return;
      if (source.readyState === EventSource.CLOSED) {
        source = null;
        button.textContent = "Follow";
        say("lost", "The connection was refused. Load the page again.");
      } else say("lost", "Connecting again");
    });
  };
  box.hidden = false;
  button.addEventListener("click", () => (source ? stop() : start()));
  addEventListener("pagehide", () => source && source.close());
  addEventListener("pageshow", event => event.persisted && source && start());
  start();
}

// the drawer

function openDrawers() {
  const drawer = element("dialog", "drawer");
  drawer.setAttribute("aria-label", "Request");
  const inside = element("div", "drawer-inside");
  const bar = element("div", "drawer-bar");
  const whole = element("a", "", "Open as a page");
  const close = element("button", "quiet", "Close");
  bar.append(whole, close);
  drawer.append(bar, inside);
  document.body.append(drawer);
  let opener = null;
  let loading = false;
  const shut = () => drawer.open && drawer.close();
  close.addEventListener("click", shut);
  drawer.addEventListener("click", event => event.target === drawer && shut());
  drawer.addEventListener("close", () => {
    // It was opened as a step of the history; Back has closed it already.
    if (history.state && history.state.drawer) history.back();
    if (opener && opener.isConnected) opener.focus();
  });
  addEventListener("popstate", event => {
    if (event.state && event.state.drawer) location.reload();
    else shut();
  });
  document.addEventListener("click", async event => {
    const link = event.target.closest ? event.target.closest("a[data-drawer]") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (loading || drawer.open) return;
    loading = true;
    opener = link;
    try {
      const response = await fetch(link.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (!response.ok || response.redirected) throw new Error(String(response.status));
      const found = new DOMParser().parseFromString(await response.text(), "text/html");
      const content = $("#request", found);
      if (!content) throw new Error("no content");
      inside.replaceChildren(document.importNode(content, true));
    } catch {
      location.assign(link.href);
      return;
    } finally {
      loading = false;
    }
    whole.href = link.href;
    drawer.showModal();
    history.pushState({ drawer: true }, "", link.href);
    close.focus();
  });
}

// the rest

function proposeZone() {
  const button = $("#own-zone");
  const field = $("input[name=zone]");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!button || !field || !own || own === field.value) return;
  button.hidden = false;
  button.textContent = `Use this browser’s zone, ${own}`;
  button.addEventListener("click", () => {
    field.value = own;
    field.form.requestSubmit();
  });
}

function copySecrets() {
  for (const secret of $$("[data-secret]")) {
    // Loading the page again must not send the form again.
    history.replaceState(null, "", secret.dataset.secret);
    const button = element("button", "quiet", "Copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(secret.textContent.trim());
      button.textContent = "Copied";
    });
    secret.after(button);
  }
}

function confirmForms() {
  for (const form of $$("form[data-confirm]")) {
    form.addEventListener("submit", event => {
      if (!confirm(form.dataset.confirm)) event.preventDefault();
    });
  }
}

document.addEventListener("click", event => {
  const menu = $(".menu[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", event => {
  const menu = $(".menu[open]");
  if (event.key === "Escape" && menu) {
    menu.open = false;
    $("summary", menu).focus();
  }
});
// Empty fields do not belong in the URL.
for (const form of $$("form.filters")) {
  form.addEventListener("submit", () => {
    for (const field of $$("input, select", form)) if (!field.value) field.disabled = true;
  });
}
$$("[data-chart]").forEach(drawChart);
$$(".live[data-source]").forEach(followRequests);
if ($("a[data-drawer]") || $(".live")) openDrawers();
proposeZone();
copySecrets();
confirmForms();
