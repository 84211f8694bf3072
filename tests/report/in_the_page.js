// What every browser test asks of the page, as the body of a function.
const all = (selector, where = document) => Array.from(where.querySelectorAll(selector));
const table = document.querySelector("table.rows");
const names = (body = table.tBodies[0]) => all("tr[data-name]", body).filter((r) => r.offsetParent).map((r) => r.dataset.name);
const shown = () => document.getElementById("shown").textContent;
const button = (text) => all("thead button", table).find((each) => each.textContent === text);
const choose = (name, value) => {
  const field = document.querySelector(`[name=${name}]`);
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const found = { start: [names(), shown()], sorts: {} };
found.buttons = all("thead button", table).map((each) => [each.textContent, each.type, each.tabIndex]);
for (const text of ["top-1 ±sd", "top-1 ±sd", "method", "vs kd"]) {
  button(text).click();
  const sorted = all("th[aria-sort]", table).map((th) => [th.textContent, th.getAttribute("aria-sort")]);
  (found.sorts[text] ||= []).push([names(), sorted]);
}
choose("text", "TEMPERATURE"); found.text = [names(), shown()];
choose("text", "no such method"); found.none = [names(), shown(), table.offsetHeight > 0];
choose("text", ""); choose("method", "kd");
found.method = [names(), all(".of-method").filter((each) => each.offsetParent).map((each) => each.dataset.name)];
choose("method", ""); choose("regime", "no teacher");
found.regime = [all("table.rows > tbody").filter((each) => each.offsetParent).map((each) => each.dataset.regime), shown()];
choose("regime", ""); choose("setting", all("[name=setting] option")[2].value);
found.setting = [all("section[data-setting]").filter((each) => each.offsetParent).length, shown()];
choose("setting", ""); found.end = shown();
const root = document.scrollingElement;
const box = table.parentElement;
found.width = [innerWidth, root.scrollWidth, document.body.scrollWidth, box.clientWidth, table.offsetWidth];
found.columns = all("thead th", table).map((th) => [th.textContent, th.offsetWidth > 0]);
box.scrollLeft = 1e4;
const name = table.querySelector("tbody th[scope=row]");
found.sticky = [box.scrollLeft, name.getBoundingClientRect().left - box.getBoundingClientRect().left];
const last = table.querySelector("tbody tr[data-name]").lastElementChild.getBoundingClientRect();
found.last = last.right <= box.getBoundingClientRect().right + 1;
found.rows = all("tbody tr[data-name]", table).filter((r) => r.offsetParent).map((r) => r.getBoundingClientRect().height);
found.name = Math.max(...all("tbody th[scope=row]", table).map((th) => th.offsetWidth));
found.box = [box.tabIndex, box.getAttribute("role"), box.getAttribute("aria-label")];
found.unnamed = all("input, select, [role=region], svg[role=img]").filter((each) =>
  !(each.getAttribute("aria-label") || (each.labels && each.labels[0] && each.labels[0].textContent.trim()))).length;
found.figures = all("figcaption").map((each) => each.textContent);
found.drawings = all("svg, table.heat").every((each) => each.getBoundingClientRect().width > 0);
const details = document.querySelector("details.traceback");
details.open = true;
found.trace = details.querySelector("pre").textContent;
found.downloads = all("a[download]").map((each) => [each.download, each.href]);
found.markup = all("main b").length;
const colours = (style) => [style.color, style.backgroundColor].map((each) => each.match(/[\d.]+/g).slice(0, 3).map(Number));
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = colours(getComputedStyle(document.body))[1];
found.ground = ground;
found.contrast = Math.min(...[".note", ".better", ".worse", ".undecided", ".below", "thead th", "summary", "td", "a", "figcaption"]
  .flatMap((selector) => all(selector).slice(0, 1)).map((each) => {
    const [a, b] = [light(colours(getComputedStyle(each))[0]), light(ground)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
return found;
