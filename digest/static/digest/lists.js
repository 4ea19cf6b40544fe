// What htmx does not do by itself on lists: move the focus, and fall back to a page load.
"use strict";

// The link or button is gone after the swap: continue at the first new paper or at the answer.
document.addEventListener("htmx:afterSwap", (event) => {
  const sender = event.detail.requestConfig?.elt;
  if (sender?.rel === "next") {
    const lists = document.querySelectorAll(".page-of-papers");
    lists[lists.length - 1]?.querySelector(".paper-link")?.focus({ preventScroll: true });
  } else if (sender?.matches("form")) {
    document.querySelector(`[id="${sender.closest("article")?.id}"] .save-status`)?.focus({ preventScroll: true });
  }
});

// An error page or a lost connection: the browser shows it, as without JavaScript.
for (const name of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(name, (event) => {
    const sender = event.detail.requestConfig?.elt;
    if (sender?.matches("form")) sender.submit();
    else if (sender?.href) window.location.assign(sender.href);
  });
}
