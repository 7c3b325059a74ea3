"use strict";
const line = (event) => event.target.closest && event.target.closest("[data-o]");
const same = (at) => at.closest(".f").querySelectorAll(`[data-o="${at.dataset.o}"]`);
const clear = (name) => document.querySelectorAll("." + name).forEach((e) => e.classList.remove(name));
document.addEventListener("mouseover", (event) => {
  clear("h");
  const at = line(event);
  if (at) same(at).forEach((e) => e.classList.add("h"));
});
document.addEventListener("click", (event) => {
  const at = line(event);
  if (!at) return;
  clear("k");
  const seen = new Set([at.parentElement]);
  same(at).forEach((e) => {
    e.classList.add("k");
    if (seen.has(e.parentElement)) return;
    seen.add(e.parentElement);
    const column = e.parentElement;
    column.scrollTop = e.offsetTop - column.offsetTop - column.clientHeight / 3;
  });
});
