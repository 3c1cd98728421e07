// What is wrong with the page that is shown, as one line a fault. Rules have axe's names where they are axe's rules.
// Runs as the body of a function; opens every <details>, so that what is in them is looked at too.
// `options`: `lang`, the language asked for; `contrast`, what text must reach; `edges`, whether colours must carry no meaning;
// `print`, whether this is paper; `apart`, whether what was marked `data-gap` is laid out by a browser that has no gaps.
'use strict';
const [options] = arguments;
const shown = document.documentElement;
const faults = new Set();
const all = (css) => Array.from(document.querySelectorAll(css));
const squeezed = (text) => (text ?? '').replace(/\s+/g, ' ').trim();

function called(node) {
  const id = node.id ? `#${node.id}` : '';
  const classes = Array.from(node.classList, (name) => `.${name}`).join('');
  return `<${node.localName}${id}${classes}> "${squeezed(node.textContent).slice(0, 40)}"`;
}

function fault(rule, node, what) {
  faults.add(`${rule}: ${node ? `${called(node)} ` : ''}${what}`);
}

const isVisible = (node) =>
  node.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true }) &&
  node.getClientRects().length > 0;
// Out to the left, or a dot, is what waits for the keyboard or is for screen readers only.
function isOnPage(node) {
  if (!isVisible(node)) return false;
  const rect = node.getBoundingClientRect();
  return rect.right > 0 && rect.width > 1;
}

for (const details of all('details')) details.open = true;

// ---- the document ----

if (!squeezed(document.title)) fault('document-title', null, 'is empty');
if (!['zh-CN', 'en'].includes(shown.lang)) fault('html-has-lang', null, `lang is "${shown.lang}"`);
if (options.lang && shown.lang !== options.lang) fault('html-has-lang', null, `lang is "${shown.lang}", asked ${options.lang}`);
const viewport = document.querySelector('meta[name=viewport]')?.content ?? '';
if (!viewport.includes('width=device-width')) fault('meta-viewport', null, `is "${viewport}"`);
if (/user-scalable\s*=\s*no|maximum-scale/.test(viewport)) fault('meta-viewport', null, 'keeps people from zooming');

const mains = all('main, [role=main]');
if (mains.length !== 1) fault('landmark-one-main', null, `${mains.length} of them`);
const firsts = all('h1').filter(isVisible);
if (firsts.length !== 1) fault('page-has-heading-one', null, `${firsts.length} of them`);
let level = 0;
for (const heading of all('h1, h2, h3, h4, h5, h6').filter(isVisible)) {
  const next = Number(heading.localName[1]);
  if (next > level + 1) fault('heading-order', heading, `follows a heading of level ${level}`);
  if (!squeezed(heading.textContent)) fault('empty-heading', heading, 'has no text');
  level = next;
}
for (const node of document.body.children) {
  if (!node.matches('header, main, footer, nav, aside, a.skip, script')) fault('region', node, 'is in no landmark');
}
const skip = document.querySelector('a[href^="#"]');
if (!skip || !document.querySelector(skip.getAttribute('href'))) fault('bypass', null, 'no link skips to the content');

const ids = new Map();
for (const node of all('[id]')) ids.set(node.id, (ids.get(node.id) ?? 0) + 1);
for (const [id, count] of ids) if (count > 1) fault('duplicate-id', null, `${id} stands ${count} times`);
for (const link of all('a[href^="#"]')) {
  if (!ids.has(decodeURIComponent(link.hash.slice(1)))) fault('link-target', link, `leads to ${link.hash}, which is not there`);
}

// ---- names ----

function textOf(node) {
  const copy = node.cloneNode(true);
  for (const inner of copy.querySelectorAll('select, textarea, input, button, [aria-hidden=true]')) inner.remove();
  for (const inner of copy.querySelectorAll('img[alt], [aria-label]')) {
    inner.append(` ${inner.getAttribute('alt') ?? inner.getAttribute('aria-label')} `);
  }
  return squeezed(copy.textContent);
}

function nameOf(node) {
  const by = (node.getAttribute('aria-labelledby') ?? '').split(/\s+/).filter(Boolean);
  const pointed = squeezed(by.map((id) => document.getElementById(id)?.textContent).join(' '));
  if (pointed) return pointed;
  if (squeezed(node.getAttribute('aria-label'))) return squeezed(node.getAttribute('aria-label'));
  const labels = squeezed(Array.from(node.labels ?? [], textOf).join(' '));
  if (labels) return labels;
  if (node.matches('a, button, summary, [role=button]') && textOf(node)) return textOf(node);
  if (node.matches('input[type=submit], input[type=button]') && squeezed(node.value)) return squeezed(node.value);
  return squeezed(node.getAttribute('alt') ?? node.getAttribute('title'));
}

const RULES = { a: 'link-name', button: 'button-name', select: 'select-name', summary: 'summary-name' };
const controls = all('a[href], button, select, textarea, summary, input:not([type=hidden]), [role=button]');
for (const node of controls) {
  if (!nameOf(node)) fault(RULES[node.localName] ?? 'label', node, `${node.name ?? ''} has no accessible name`);
}
for (const node of all('img:not([alt])')) fault('image-alt', node, `${node.src} has no alt`);
for (const node of all('svg')) {
  const isNamed = nameOf(node) || node.querySelector('title') || node.closest('[aria-hidden=true]');
  if (!isNamed) fault('svg-img-alt', node, 'has no name and is not hidden');
}
// A name on what has no role is not read out.
for (const node of all('[aria-label], [aria-labelledby]')) {
  if (node.matches('span, div, p, b, i, em, strong, small, code, time, li, td') && !node.hasAttribute('role')) {
    fault('aria-prohibited-attr', node, 'has a name but no role');
  }
}
for (const node of all('table')) {
  if (!node.querySelector('th')) fault('td-headers-attr', node, 'has no headers');
}
for (const node of all('th:not([scope])')) fault('scope-attr-valid', node, 'has no scope');
for (const node of all('ul > :not(li), ol > :not(li)')) fault('list', node, 'is no item of its list');
for (const node of all('dl > :not(div, dt, dd), dl > div > :not(dt, dd)')) fault('definition-list', node, 'is out of place');
for (const node of all('[tabindex]')) if (node.tabIndex > 0) fault('tabindex', node, 'comes out of turn');
const marks = new Map();
for (const node of all('nav, aside, [role=search], [role=navigation], [role=region]')) {
  const mark = `${node.getAttribute('role') ?? node.localName} ${nameOf(node)}`;
  if (marks.has(mark)) fault('landmark-unique', node, `is called "${mark.trim()}" as another one is`);
  marks.set(mark, node);
}

// ---- colours ----

const canvas = document.createElement('canvas');
canvas.width = 1;
canvas.height = 1;
const pen = canvas.getContext('2d', { willReadFrequently: true });
const mixed = new Map();
function colour(css) {
  if (!mixed.has(css)) {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = css;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
    mixed.set(css, [red, green, blue, alpha / 255]);
  }
  return mixed.get(css);
}
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);

function backdrop(node) {
  const layers = [];
  for (let at = node; at; at = at.parentElement) {
    const layer = colour(getComputedStyle(at).backgroundColor);
    layers.push(layer);
    if (layer[3] === 1) break;
  }
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
}

function luminance(rgb) {
  const [red, green, blue] = rgb.slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(ink, paper) {
  const [low, high] = [luminance(over(ink, paper)), luminance(paper)].sort((one, other) => one - other);
  return (high + 0.05) / (low + 0.05);
}

const CONTRAST = options.contrast ?? 4.5;
// Where a system forces its colours, letters stand on a plate in the colour of the page, whatever is under them.
const isPlated = (node) => matchMedia('(forced-colors: active)').matches && getComputedStyle(node).forcedColorAdjust === 'auto';
function legible(node, ink, what) {
  const paper = backdrop(isPlated(node) ? document.body : node);
  const reached = contrast(colour(ink), paper);
  if (reached < CONTRAST) {
    const on = paper.slice(0, 3).map(Math.round);
    fault('color-contrast', node, `${what} has ${reached.toFixed(2)} of ${CONTRAST}: ${ink} on ${on}`);
  }
}

const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (texts.nextNode()) {
  const node = texts.currentNode.parentElement;
  if (seen.has(node) || !squeezed(texts.currentNode.data) || node.closest('script, style, option') || !isOnPage(node)) continue;
  seen.add(node);
  legible(node, getComputedStyle(node).color, 'text');
}
for (const node of all('input:not([type=hidden], [type=checkbox], [type=radio]), select, textarea').filter(isVisible)) {
  legible(node, getComputedStyle(node).color, 'a value');
  if (node.placeholder) legible(node, getComputedStyle(node, '::placeholder').color, 'the hint');
}

// ---- fingers ----

const BIG = 44;
const SMALL = 24;
const isInLine = (node) =>
  getComputedStyle(node).display === 'inline' &&
  Array.from(node.parentElement.childNodes).some((other) => other.nodeType === Node.TEXT_NODE && squeezed(other.data));
for (const node of options.print ? [] : controls) {
  if (!isOnPage(node) || isInLine(node)) continue;
  const isMark = node.matches('[type=checkbox], [type=radio]');
  const rect = (isMark && node.labels?.[0] ? node.labels[0] : node).getBoundingClientRect();
  const isButton = node.matches('button, .button, summary, [role=button], input[type=submit]');
  const least = isButton || isMark ? BIG : SMALL;
  // Half a pixel is a matter of rounding.
  if (rect.width + 0.5 < Math.min(least, isMark ? SMALL : least) || rect.height + 0.5 < least) {
    fault('target-size', node, `is ${rect.width.toFixed(1)} by ${rect.height.toFixed(1)} of ${least}`);
  }
}

// ---- room ----

const page = document.scrollingElement;
if (page.scrollWidth > page.clientWidth) {
  const wide = all('body *').filter((node) => isOnPage(node) && node.getBoundingClientRect().right > page.clientWidth + 1);
  const inner = wide.filter((node) => !wide.some((other) => other !== node && node.contains(other)));
  const spilling = all('body *').find((node) => isOnPage(node) && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0);
  fault('scroll-horizontal', inner[0] ?? spilling ?? null, `the page is ${page.scrollWidth} wide of ${page.clientWidth}`);
}
for (const node of all('body *').filter(isOnPage)) {
  const style = getComputedStyle(node);
  const isCut = ['hidden', 'clip'].includes(style.overflowX) && node.scrollWidth > node.clientWidth + 1;
  if (isCut && !node.matches('input, select, textarea, svg, svg *')) {
    fault('text-cut', node, `shows ${node.clientWidth} of ${node.scrollWidth}`);
  }
}

// ---- edges: what has a shape by its colour alone, for who has other colours, or asks for more contrast ----

// WCAG 1.4.11: what tells a control, or carries a meaning.
const EDGE = 3;
const SIDES = ['Top', 'Right', 'Bottom', 'Left'];
const visibility = (ink, node) => contrast(colour(ink), backdrop(node));
function edge(node, side) {
  const style = getComputedStyle(node);
  const isDrawn = !['none', 'hidden'].includes(style[`border${side}Style`]) && parseFloat(style[`border${side}Width`]) >= 1;
  return isDrawn ? visibility(style[`border${side}Color`], node.parentElement) : 1;
}

function isTold(one, other) {
  const [mine, others] = [one, other].map((node) => colour(getComputedStyle(node).backgroundColor));
  const papers = [mine, others].map((paper, index) => over(paper, backdrop([one, other][index].parentElement)));
  if (contrast(...papers) >= EDGE) return true;
  return edge(one, 'Bottom') >= EDGE && edge(other, 'Bottom') < 1.2;
}

function edges() {
  for (const node of all('button, .button, .chip, .badge, select, textarea, input:not([type=hidden], [type=checkbox], [type=radio])')) {
    const least = isOnPage(node) ? Math.min(...SIDES.map((side) => edge(node, side))) : EDGE;
    if (least < EDGE) fault('edge', node, `has an edge of ${least.toFixed(2)} of ${EDGE}`);
  }
  for (const on of all('.chip.on, .places a.on')) {
    for (const off of on.parentElement.children) {
      if (!off.classList.contains('on') && !isTold(on, off)) fault('chosen', on, `looks as ${called(off)} does`);
    }
  }
  const meanings = new Map();
  for (const node of all('.badge')) {
    const text = squeezed(node.textContent).replace(/\d+/g, '');
    if ((meanings.get(text) ?? node.className) !== node.className) fault('badge', node, 'is told from another one by its colour only');
    meanings.set(text, node.className);
  }
  for (const node of all('.map line, .map rect, .map circle, .map path, .map text')) {
    const { fill, stroke, opacity } = getComputedStyle(node);
    const ink = colour(stroke === 'none' ? fill : stroke);
    const seen = contrast([...ink.slice(0, 3), ink[3] * Number(opacity)], backdrop(node.closest('svg')));
    if (seen < EDGE) fault('map', node, `has ${seen.toFixed(2)} of ${EDGE}: ${stroke} and ${fill}`);
  }
  // Nothing was clicked on this page, so whatever has the keyboard shows it.
  for (const node of controls.filter(isVisible)) {
    node.focus({ preventScroll: true });
    if (document.activeElement !== node) continue;
    const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(node);
    const isDrawn = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
    const seen = isDrawn ? visibility(outlineColor, node.parentElement) : 1;
    if (seen < EDGE) fault('focus', node, `shows the keyboard with ${seen.toFixed(2)} of ${EDGE}`);
  }
  document.activeElement?.blur();
}
if (options.edges) edges();

// ---- paper ----

// Where this is a record's page, its id.
const record = /^\/records\/([0-9a-f]+)/.exec(location.pathname)?.[1];
function paper() {
  // News that came while the page was open; on a screen they stay shown, to be looked at too.
  for (const notice of all('#news')) notice.hidden = false;
  // A chosen chip says what a list is narrowed to.
  for (const node of all('nav a:not(.chip[aria-current]), form, form *, button, .button, summary, .skip, .lang, .who-am-i, #news')) {
    if (isOnPage(node)) fault('print-control', node, 'is printed');
  }
  for (const node of all('body *').filter(isOnPage)) {
    const style = getComputedStyle(node);
    const dark = luminance(over(colour(style.backgroundColor), [255, 255, 255, 1]));
    if (dark < 0.99) fault('print-ink', node, `has ${style.backgroundColor} under it`);
    const [red, green, blue] = colour(style.color);
    const hue = Math.max(red, green, blue) - Math.min(red, green, blue);
    if (node.localName === 'a' && hue > 8) fault('print-link', node, `is ${style.color}`);
  }
  const told = squeezed(document.body.innerText);
  const organisation = squeezed(document.querySelector('.brand span')?.textContent);
  for (const text of [organisation, squeezed(document.querySelector('h1')?.textContent), record].filter(Boolean)) {
    if (!told.includes(text)) fault('print-heading', null, `${text} is not printed`);
  }
}
if (options.print) paper();

// ---- gaps ----

// Half of a gap does; two things that touch read as one.
const isApart = (one, other, [beside, below]) =>
  Math.max(other.left - one.right, one.left - other.right) >= beside / 2 ||
  Math.max(other.top - one.bottom, one.top - other.bottom) >= below / 2;
function boxes(node) {
  const range = document.createRange();
  return Array.from(node.childNodes).flatMap((child) => {
    if (child.nodeType === Node.ELEMENT_NODE) {
      const isThere = isOnPage(child) && getComputedStyle(child).position !== 'absolute';
      return isThere ? [{ name: called(child), rect: child.getBoundingClientRect() }] : [];
    }
    if (child.nodeType !== Node.TEXT_NODE || !squeezed(child.data)) return [];
    range.selectNodeContents(child);
    return [{ name: `"${squeezed(child.data)}"`, rect: range.getBoundingClientRect() }];
  });
}
for (const node of options.apart ? all('[data-gap]').filter(isOnPage) : []) {
  const parts = boxes(node);
  const gaps = node.dataset.gap.split(' ').map(Number);
  for (const [index, part] of parts.slice(1).entries()) {
    if (!isApart(parts[index].rect, part.rect, gaps)) fault('gap', node, `${parts[index].name} touches ${part.name}`);
  }
}

return {
  faults: Array.from(faults),
  height: Math.ceil(page.scrollHeight),
  origins: Array.from(new Set(performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin))),
  scripts: all('script').length,
};
