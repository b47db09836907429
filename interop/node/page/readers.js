'use strict';

// What each reader has seen, and of which it has seen the end.
const seen = { eventsource: [], fetch: [], pollymer: [] };
const ended = [];

// The browser's own EventSource.
function readEventSource(url) {
  const source = new EventSource(url);
  source.addEventListener('message', (event) => seen.eventsource.push(JSON.parse(event.data)));
}

// fetch, whose body is read as it comes.
async function readFetch(url) {
  const response = await fetch(url);
  let text = '';
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (text + part).split('\n\n');
    text = events.pop();
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event);
      if (data) {
        seen.fetch.push(JSON.parse(data[1]));
      }
    }
  }
  ended.push('fetch');
}

// Pollymer, which polls until the page is closed.
function readPollymer(url) {
  const request = new Pollymer.Request({ recurring: true, maxTries: -1, maxDelay: 100 });
  let last = 0;
  request.on('finished', (code, messages) => {
    seen.pollymer.push(...messages);
    last = seen.pollymer.at(-1)?.id ?? 0;
  });
  request.start('GET', () => `${url}&after=${last}`);
}
