// The curation page without reloads: keyboard, focus after a swap, kept texts, errors.
// Without this script every button and form works by an ordinary POST.
"use strict";

function lastStep() {
  return document.getElementById("counts").dataset.lastStep;
}

(() => {
  const page = document.getElementById("curation");
  if (!page) return;
  page.classList.add("with-script");
  const byId = (id) => document.getElementById(id);
  const rows = () => [...document.querySelectorAll("#rows > article")];
  const currentRow = () => document.activeElement.closest("article[data-pk]");

  // Keyboard.

  let lastRow = null; // where j and k continue after a dialog or a search
  document.addEventListener("focusin", () => {
    if (currentRow()) lastRow = currentRow().id;
  });

  function focusRow(row) {
    if (!row) return;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  function move(by) {
    const all = rows();
    const place = all.findIndex((row) => row.id === (currentRow()?.id ?? lastRow));
    focusRow(all[Math.min(Math.max(place + by, 0), all.length - 1)] ?? all[0]);
  }

  const pressButton = (row, prefix) => byId(`${prefix}-${row.dataset.pk}`)?.click();

  function togglePin(row) {
    const pinned = row.querySelector("button.on");
    if (pinned) pinned.click();
    else post(row, "pin:next");
  }

  function post(row, action) {
    const button = byId(`pin-1-${row.dataset.pk}`);
    if (button) send(button.formAction, { action }, row);
  }

  function send(url, values, source) {
    const form = new FormData(byId("curate"));
    window.htmx.ajax("POST", url, {
      source, swap: "none", values: { ...Object.fromEntries(form), ...values },
    });
  }

  function openPanel(row, name) {
    const panel = row.querySelector(`[data-panel=${name}]`);
    if (!panel) return;
    panel.open = name === "summary" ? !panel.open : true;
    panel.querySelector("input[type=text], textarea")?.focus();
  }

  const ofRow = {
    o: (row) => openPanel(row, "summary"),
    p: togglePin,
    1: (row) => pressButton(row, "pin-1"),
    2: (row) => pressButton(row, "pin-2"),
    3: (row) => pressButton(row, "pin-3"),
    b: (row) => pressButton(row, "raise"),
    B: (row) => pressButton(row, "lower"),
    h: (row) => pressButton(row, "hide"),
    n: (row) => openPanel(row, "note"),
    e: (row) => openPanel(row, "edit"),
    x: (row) => row.querySelector("input[name=selected]")?.click(),
  };
  const ofPage = {
    j: () => move(1),
    k: () => move(-1),
    u: () => send(page.dataset.undo, {}, currentRow() ?? page),
    "/": () => byId("search").focus(),
    "?": () => byId("help").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const isField = event.target.matches("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && isField) {
      focusRow(currentRow() ?? byId(lastRow) ?? rows()[0]);
      return;
    }
    if (isField) return;
    const row = currentRow() ?? byId(lastRow);
    if (event.key in ofPage) ofPage[event.key]();
    else if (event.key in ofRow && row) ofRow[event.key](row);
    else return;
    event.preventDefault();
  });

  byId("help-button").hidden = false;
  byId("help-button").addEventListener("click", () => byId("help").showModal());

  // In rows that were replaced, panels stay open and focus returns to the same control, else
  // to the row. Only the form that was saved closes.

  let focused = null;
  let openPanels = [];
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const sender = event.detail.requestConfig?.elt;
    const isSaved = Boolean(sender?.closest("form")?.contains(document.activeElement));
    focused = { control: document.activeElement.id, row: currentRow()?.id, isSaved };
    openPanels = [...document.querySelectorAll(".pr-row details[open]")]
      .filter((panel) => panel !== sender?.closest("details"))
      .map((panel) => [panel.closest(".pr-row").id, panel.dataset.panel]);
  });
  document.body.addEventListener("htmx:afterSettle", () => {
    for (const [row, name] of openPanels) {
      byId(row)?.querySelector(`[data-panel=${name}]`)?.setAttribute("open", "");
    }
    if (!focused?.row || currentRow()) return;
    const control = byId(focused.control);
    const isButton = control?.tagName === "BUTTON" && !control.id.startsWith("save-");
    const isTyping = control?.matches("input[type=text], textarea") && !focused.isSaved;
    if ((isButton || isTyping) && !control.disabled) control.focus();
    else focusRow(byId(focused.row));
  });

  // Typed texts stay in this tab until they are saved, whatever happens to the page.

  const keyOf = (field) => `curation ${field.dataset.keep}`;
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (field.dataset.keep) sessionStorage.setItem(keyOf(field), field.value);
  });

  function restoreTexts() {
    for (const field of document.querySelectorAll("[data-keep]")) {
      const text = sessionStorage.getItem(keyOf(field));
      if (text === null || text === field.defaultValue) continue;
      field.value = text;
      field.closest("details").open = true;
    }
  }

  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const form = event.detail.elt.closest("form");
    const field = form?.querySelector("[data-keep]");
    if (field) event.detail.xhr.keptField = field;
  });
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.keptField && xhr.getResponseHeader("X-Curation") === "done") {
      sessionStorage.removeItem(keyOf(xhr.keptField));
    } else if (xhr.keptField) {
      // Saving again replaces what someone else wrote: the message has shown it.
      const seen = xhr.keptField.form.elements.seen;
      if (xhr.getResponseHeader("X-Curation") === "refused" && seen) seen.disabled = true;
    }
  });
  document.body.addEventListener("htmx:afterSettle", restoreTexts);
  restoreTexts();

  // Errors of the connection, and a session that has ended.

  function report(text) {
    const line = document.createElement("p");
    line.className = "pr-notice bad";
    line.textContent = text;
    byId("notice").replaceChildren(line);
  }
  document.body.addEventListener("htmx:sendError", () => report("Not saved: the server did not answer. Your text is kept; try again."));
  document.body.addEventListener("htmx:responseError", (event) => report(`Not saved: the server answered ${event.detail.xhr.status}. Your text is kept; try again.`));
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    const isPost = requestConfig?.verb === "post";
    if (new URL(xhr.responseURL, location).pathname.includes("/login/")) {
      event.detail.shouldSwap = false;
      report("You are signed out. Sign in again in another tab; your text is kept here.");
    } else if (isPost && !xhr.getResponseHeader("X-Curation")) {
      event.detail.shouldSwap = false;
    }
  });

  // How many of the typical readers get each paper, beside it.

  function showReach() {
    const data = byId("reach");
    if (!data) return;
    const reach = JSON.parse(data.textContent);
    for (const label of document.querySelectorAll("[data-reach-of]")) {
      const number = reach[label.dataset.reachOf];
      label.textContent = number ? `${number} of 10 typical readers get it` : "";
    }
  }
  document.body.addEventListener("htmx:afterSettle", showReach);

  document.addEventListener("change", (event) => {
    if (event.target.name !== "selected") return;
    const number = document.querySelectorAll("#rows input:checked").length;
    byId("selected-count").textContent = number ? `${number} selected:` : "Selected papers:";
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) window.htmx.trigger("#stale", "visible-again");
  });
})();
