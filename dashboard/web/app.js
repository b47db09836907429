// The page of the dashboard: it shows the status document and sends two kinds
// of change, a headline and a capacity.
//
// It follows the status as any GRIP client would: it asks for status/ once, and
// then for status/?last_id=N, which is held until there is a status other than
// N. An answer of {} says that nothing came for a while.

const $ = (id) => document.getElementById(id);

follow();

// ---- Following the status --------------------------------------------------

// All in milliseconds.
const REST = 100; // between polls: the dashboard has ten statuses a second at most
const REST_HIDDEN = 5_000; // the same while nobody looks
const PATIENCE = 90_000; // for an answer; a hold is shorter
const BACKOFF = 500; // after the first failure; it doubles with each one
const BACKOFF_MAX = 15_000;

async function follow() {
  let query = '';
  let failures = 0;
  for (;;) {
    try {
      const status = await poll('status/' + query);
      failures = 0;
      setLink('live', 'live');
      if ('id' in status) {
        query = '?last_id=' + status.id;
        show(status);
      }
      await rest(document.hidden ? REST_HIDDEN : REST);
    } catch {
      setLink('lost', 'connection lost, trying again');
      const wait = Math.min(BACKOFF_MAX, BACKOFF * 2 ** failures++);
      await rest(wait * (0.5 + Math.random() / 2));
    }
  }
}

async function poll(url) {
  const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) {
    throw new Error(url + ' answers ' + answer.status);
  }
  return answer.json();
}

// rest waits, but not when somebody begins to look or the network comes back.
function rest(ms) {
  return new Promise((resolve) => {
    const listeners = new AbortController();
    const end = () => {
      clearTimeout(timer);
      listeners.abort();
      resolve();
    };
    const timer = setTimeout(end, ms);
    document.addEventListener('visibilitychange', () => document.hidden || end(), listeners);
    addEventListener('online', end, listeners);
  });
}

function setLink(state, text) {
  $('link').dataset.state = state;
  setText($('link'), text);
}

// ---- Showing it ------------------------------------------------------------

let newest; // status, to be drawn in the next frame
let frame = 0; // requested, or 0

function show(status) {
  newest = status;
  frame ||= requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  drawHeadline(newest);
  drawReceived(newest);
  drawFleet(newest);
  drawTimes(newest);
  drawPlot(newest);
  drawRuns(newest);
  drawNodes(newest);
  tellNews(newest);
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

// What is not known is shown as nothing: the style sheet puts a dash there.
const count = (n) => (n == null ? '' : whole.format(n));
const ms = (n) => (n == null ? '' : (n < 9.95 ? tenths : whole).format(n));

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

function setMeter(element, now, max, text) {
  setAttribute(element, 'aria-valuemax', max);
  setAttribute(element, 'aria-valuenow', Math.min(now, max));
  setAttribute(element, 'aria-valuetext', text);
}

function drawHeadline({ headline }) {
  setText($('headline-id'), headline ? '#' + headline.id : '');
  setText($('headline-at'), headline ? clock.format(headline.at) : '');
  setText($('body'), headline ? headline.body : 'No headline yet.');
  $('body').classList.toggle('none', !headline);
}

function isComplete({ headline, received, clients }) {
  return Boolean(headline) && clients > 0 && received >= clients;
}

function drawReceived(status) {
  const { received, capacity } = status;
  const share = capacity > 0 ? Math.min(1, received / capacity) : 0;
  setText($('received'), count(received));
  setText($('capacity-now'), count(capacity));
  // Rounded down: 100 % means all.
  setText($('share'), isComplete(status) ? 'all' : capacity > 0 ? tenths.format(Math.floor(share * 1000) / 10) + ' %' : '');
  $('bar').style.setProperty('--share', share);
  setMeter($('bar'), received, capacity, `${count(received)} of ${count(capacity)}`);
  setText($('started'), count(status.started));
  setText($('errored'), count(status.errored));
}

function drawFleet({ edges, groups, regions, capacity }) {
  drawRing($('edges'), edges);
  drawRing($('groups'), groups);
  setText($('regions'), regions.join('  '));
  if (!resizing) {
    $('capacity').value = capacity;
  }
}

// drawRing lights one segment for each node that is up, out of those needed.
function drawRing(ring, { up, needed }) {
  const segments = Math.max(needed, 1);
  const gap = segments > 90 ? 0 : 0.018 * segments; // in segments: the same width however many there are
  const [all, lit] = ring.querySelectorAll('circle');
  setAttribute(all, 'pathLength', segments);
  setAttribute(lit, 'pathLength', segments);
  setAttribute(all, 'stroke-dasharray', `${1 - gap} ${gap}`);
  setAttribute(lit, 'stroke-dasharray', `${1 - gap} ${gap} `.repeat(Math.min(up, needed)) + `0 ${segments}`);
  setText(ring.querySelector('b'), count(up));
  setText(ring.querySelector('span'), '/' + count(needed));
  setMeter(ring, up, needed, `${up} of ${needed}`);
}

function drawTimes(status) {
  for (const name of ['ping', 'delivery', 'true']) {
    const times = status[name];
    const [min, avg, max, range] = $(name).querySelectorAll('td');
    setText(min, ms(times?.min));
    setText(avg, ms(times?.avg));
    setText(max, ms(times?.max));
    setRange(range, times, 1000);
  }
  setText($('error'), judge(status.error));
}

// judge puts in words how far the formula's average is from the true one.
function judge(error) {
  if (error == null) {
    return 'how far the formula is off is not known yet';
  }
  if (Math.abs(error) < 0.05) {
    return 'on average the formula gives the true figure';
  }
  return `on average the formula is ${tenths.format(Math.abs(error))} ms ${error < 0 ? 'below' : 'above'} the true figure`;
}

// setRange draws a bar from min to max with a mark at avg.
function setRange(element, times, scale) {
  const known = times?.max != null;
  const along = (time) => Math.min(1, time / scale);
  element.classList.toggle('none', !known);
  if (known) {
    element.style.setProperty('--min', along(times.min));
    element.style.setProperty('--avg', along(times.avg));
    element.style.setProperty('--max', along(times.max));
  }
}

// scaleFor returns the end of an axis that has room for max: the first of 10, 20,
// 50, 100, 200 ... milliseconds.
function scaleFor(max) {
  for (let decade = 10; ; decade *= 10) {
    for (const step of [1, 2, 5]) {
      if (step * decade >= max) {
        return step * decade;
      }
    }
  }
}

// tellNews says the beginning and the end of a change to those who do not see
// the bar; not of the change that was there when the page came.
let told; // headline id and whether it was complete

function tellNews(status) {
  const id = status.headline?.id;
  const complete = isComplete(status);
  if (told && id !== told.id) {
    setText($('news'), `Headline ${id} is out.`);
  }
  if (told && complete && !(told.complete && told.id === id)) {
    const last = status.delivery ? `, the last after ${ms(status.delivery.max)} milliseconds` : '';
    setText($('news'), `All ${count(status.clients)} clients received headline ${id}${last}.`);
  }
  told = { id, complete };
}

// ---- The plot: received over time, and below it on the same axis, how many
// ---- clients were reached when ----------------------------------------------

const plot = $('plot');
const room = { left: 44, right: 20, top: 10, between: 26, histogram: 56, bottom: 22 };
let size = { width: 0, height: 0 };

new ResizeObserver(([{ contentRect }]) => {
  size = contentRect;
  setAttribute(plot, 'viewBox', `0 0 ${size.width} ${size.height}`);
  if (newest) {
    show(newest);
  }
}).observe(plot);

function drawPlot(status) {
  const { curve, histogram, clients, delivery, runs } = status;
  const last = curve.at(-1) ?? [0, 0];
  $('plot-empty').hidden = runs.length > 0;
  plot.classList.toggle('none', curve.length === 0);
  setAttribute(plot, 'aria-label', curve.length === 0 ? 'Nothing received yet'
    : `Received over time: ${count(last[1])} of ${count(clients)} after ${ms(last[0])} milliseconds`);

  // While a change is under way, the run before says how far the axis reaches:
  // it need not grow several times.
  const expected = isComplete(status) ? 0 : runs[1]?.max ?? 0;
  const end = scaleFor(runs.length === 0 ? 1000 : Math.max(last[0], delivery?.max ?? 0, expected));
  const { left, top } = room;
  const right = size.width - room.right;
  const foot = size.height - room.bottom; // of the histogram
  const bottom = foot - room.histogram - room.between; // of the curve
  const x = (time) => left + ((right - left) * Math.min(time, end)) / end;
  const y = (share) => bottom - (bottom - top) * Math.min(share, 1);

  drawGrid();
  drawCurve();
  drawHistogram();

  // Lines and labels: at every fifth of the time and every quarter of the clients.
  function drawGrid() {
    const times = [0, 0.2, 0.4, 0.6, 0.8, 1].map((fifth) => fifth * end);
    const shares = [0, 0.25, 0.5, 0.75, 1];
    setPath('.grid',
      times.map((time) => `M${at(x(time), top)}V${bottom}M${at(x(time), foot - room.histogram)}V${foot}`).join('') +
      shares.map((share) => `M${at(left, y(share))}H${right}`).join('') +
      `M${at(left, foot)}H${right}`);
    plot.querySelectorAll('.percent text').forEach((label, i) => {
      place(label, left - 8, y(shares[i]), shares[i] * 100 + ' %');
    });
    plot.querySelectorAll('.time text').forEach((label, i) => {
      place(label, x(times[i]), foot + 16, whole.format(times[i]));
    });
    place(plot.querySelector('.caption'), left, foot - room.histogram - 7, 'delivery times, ms');
  }

  // The curve begins at 0, 0: nobody has the change when it is made.
  function drawCurve() {
    const points = [[0, 0], ...curve].map(([time, received]) => [x(time), y(received / Math.max(clients, 1))]);
    const line = 'M' + points.map(([px, py]) => at(px, py)).join('L');
    setPath('.line', line);
    setPath('.area', `${line}V${bottom}H${left}Z`);
    const [tipX, tipY] = points.at(-1);
    const tip = plot.querySelector('.tip');
    setAttribute(tip, 'cx', tipX.toFixed(1));
    setAttribute(tip, 'cy', tipY.toFixed(1));
    const reading = plot.querySelector('.reading');
    const leftward = last[0] > 0.85 * end; // where there is room for it
    setAttribute(reading, 'text-anchor', leftward ? 'end' : 'start');
    place(reading, tipX + (leftward ? -8 : 8), Math.min(tipY + 18, bottom - 6), ms(last[0]) + ' ms');
  }

  function drawHistogram() {
    const most = Math.max(1, ...histogram.map(([, reached]) => reached));
    setPath('.histogram', histogram.map(([upper, reached], i) => {
      const from = x(i > 0 ? histogram[i - 1][0] : 0);
      const width = Math.max(1, x(upper) - from - 1);
      return reached > 0 ? `M${at(from, foot)}v${(-room.histogram * reached / most).toFixed(1)}h${width.toFixed(1)}V${foot}Z` : '';
    }).join(''));
  }
}

const at = (x, y) => x.toFixed(1) + ' ' + y.toFixed(1);

function setPath(selector, d) {
  setAttribute(plot.querySelector(selector), 'd', d);
}

function place(label, x, y, text) {
  setAttribute(label, 'x', x.toFixed(1));
  setAttribute(label, 'y', y.toFixed(1));
  setText(label, text);
}

// ---- Tables ----------------------------------------------------------------

// fillTable makes the rows of body those of items, in their order. The rows of
// items that stay are kept, so that nothing moves that need not.
function fillTable(body, template, items, key, fill) {
  const known = new Map(Array.from(body.rows, (row) => [row.dataset.key, row]));
  items.forEach((item, i) => {
    let row = known.get(key(item));
    if (!row) {
      row = template.content.firstElementChild.cloneNode(true);
      row.dataset.key = key(item);
    }
    if (body.rows[i] !== row) {
      body.insertBefore(row, body.rows[i] ?? null);
    }
    fill(row, item);
  });
  while (body.rows.length > items.length) {
    body.rows[items.length].remove();
  }
}

function drawRuns({ runs }) {
  const best = bestOf(runs);
  const scale = scaleFor(Math.max(0, ...runs.map((run) => run.max ?? 0)));
  setText($('runs-scale'), runs.length > 0 ? `ms, bars on a scale of ${count(scale)}` : '');
  fillTable($('runs'), $('run-row'), runs, (run) => String(run.id), (row, run) => {
    row.classList.toggle('best', run === best);
    const [id, body, time, received, min, avg, max, trueAvg, trueMax, range] = row.cells;
    setText(id, '#' + run.id);
    setText(body, run.body);
    setAttribute(body, 'title', run.body);
    setText(time, clock.format(run.at));
    setText(received, count(run.received) + (run.received < run.clients ? ' of ' + count(run.clients) : ''));
    setText(min, ms(run.min));
    setText(avg, ms(run.avg));
    setText(max, (run === best ? 'best ' : '') + ms(run.max));
    setText(trueAvg, ms(run.true_avg));
    setText(trueMax, ms(run.true_max));
    setRange(range, run, scale);
  });
}

// bestOf returns the run that was done first, among those that reached as many
// clients as the newest; none when there is nothing to compare.
function bestOf(runs) {
  const alike = runs.filter((run) => run.max != null && run.received >= run.clients && run.clients === runs[0].clients);
  return alike.length < 2 ? undefined : alike.reduce((a, b) => (b.max < a.max ? b : a));
}

function drawNodes({ nodes }) {
  setText($('nodes-count'), nodes.length > 0 ? String(nodes.length) : '');
  fillTable($('nodes'), $('node-row'), nodes, (node) => node.kind + ' ' + node.name, (row, node) => {
    row.classList.toggle('down', !node.up);
    const [name, region, pair, ping, held, received, errors, receipt] = row.cells;
    // The region has its own column: us-west-1-edge-01 is edge-01 of us-west-1.
    setText(name, node.name.startsWith(node.region + '-') ? node.name.slice(node.region.length + 1) : node.name);
    setAttribute(name, 'title', `${node.kind} ${node.name}, version ${node.version}`);
    setText(region, node.region);
    setText(pair, node.pair);
    setText(ping, node.up ? ms(node.ping) : 'down');
    const load = node.kind === 'origin' ? {} : node; // which holds and receives nothing
    setText(held, count(load.held));
    setText(received, count(load.received));
    setText(errors, count(load.errors));
    errors.classList.toggle('some', node.errors > 0);
    setText(receipt, describe(node.receipt));
  });
}

// describe puts an edge's receipt of its last fan-out in words.
function describe(receipt) {
  if (!receipt) {
    return '';
  }
  const parts = [`${count(receipt.written)} in ${ms(receipt.elapsed_ms)} ms`];
  if (receipt.queued > 0) {
    parts.push(`${count(receipt.queued)} queued`);
  }
  if (receipt.dropped > 0) {
    parts.push(`${count(receipt.dropped)} dropped`);
  }
  return parts.join(', ');
}

// ---- Making changes --------------------------------------------------------

let token = ''; // as entered; kept nowhere else
let refused; // form whose change was refused, to be sent again with a token
let resizing = false; // the capacity field holds what the user types

for (const form of [$('send'), $('resize')]) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    change(form);
  });
}

$('capacity').addEventListener('input', () => {
  resizing = true;
});

$('capacity').addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && newest) {
    resizing = false;
    $('capacity').value = newest.capacity;
  }
});

$('unlock').addEventListener('submit', (event) => {
  event.preventDefault();
  token = $('token').value;
  setReadOnly(false);
  change(refused);
});

// change sends what is in the form.
async function change(form) {
  const body = new URLSearchParams(new FormData(form));
  const field = form.querySelector('input');
  const button = form.querySelector('button');
  button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: 'POST', body, headers: token ? { Authorization: 'Bearer ' + token } : {} });
    if (answer.ok) {
      notice('');
      made(form, field);
    } else if (answer.status === 401 || answer.status === 403) {
      refused = form;
      setReadOnly(true);
      notice(`Read only here: ${await reasonOf(answer)}`);
      $('token').select();
      $('token').focus();
    } else {
      notice(`Not changed: ${await reasonOf(answer)}`);
      field.focus();
    }
  } catch {
    notice('Not changed: the dashboard cannot be reached.');
  }
  button.disabled = false;
}

function made(form, field) {
  if (form === $('send')) {
    field.value = '';
  } else {
    resizing = false;
  }
  field.focus();
}

// reasonOf returns what the server says about its refusal: JSON with an error,
// or a line of text.
async function reasonOf(answer) {
  const text = (await answer.text()).trim();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `the dashboard answers ${answer.status}`;
  }
}

function setReadOnly(readOnly) {
  for (const fieldset of document.querySelectorAll('main fieldset')) {
    fieldset.disabled = readOnly;
  }
  $('unlock').hidden = !readOnly;
}

function notice(reason) {
  $('notice').hidden = !reason;
  setText($('reason'), reason);
}
