// Keys on pages with papers: j and k go to the next and previous paper, / to the search
// field, ? lists the keys. Nothing happens while typing or with a modifier.
const KEYS = [
  ["j", "Next paper"],
  ["k", "Previous paper"],
  ["Enter", "Open the paper"],
  ["/", "Search"],
  ["?", "Show or hide these keys"],
];

function focusPaper(step) {
  const links = [...document.querySelectorAll(".paper-link")];
  const current = links.findIndex((link) => link.closest("li, article").contains(document.activeElement));
  const target = links[current < 0 ? (step > 0 ? 0 : links.length - 1) : current + step];
  if (target) {
    target.focus({ preventScroll: true });
    target.closest("li, article").scrollIntoView({ block: "nearest" });
  }
}

function toggleHelp() {
  let dialog = document.getElementById("keys");
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.id = "keys";
    dialog.setAttribute("aria-labelledby", "keys-heading");
    const heading = document.createElement("h2");
    heading.id = "keys-heading";
    heading.textContent = "Keyboard shortcuts";
    const list = document.createElement("dl");
    for (const [key, action] of KEYS) {
      const term = document.createElement("dt");
      term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      list.append(term, Object.assign(document.createElement("dd"), { textContent: action }));
    }
    const close = Object.assign(document.createElement("button"), { textContent: "Close", className: "secondary" });
    close.addEventListener("click", () => dialog.close());
    dialog.append(heading, list, close);
    document.body.append(dialog);
  }
  dialog.open ? dialog.close() : dialog.showModal();
}

const ACTIONS = {
  j: () => focusPaper(1),
  k: () => focusPaper(-1),
  "/": () => document.getElementById("search")?.focus(),
  "?": toggleHelp,
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
  const action = ACTIONS[event.key];
  if (action && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    action();
  }
});
