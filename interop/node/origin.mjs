// A small realtime service, made with Express, serve-grip and grip as their
// READMEs show: a feed of messages, to be had as Server-Sent Events and by long
// polling. Readers come through the GRIP proxy, writers directly.
//
//   GRIP_URL='http://127.0.0.1:5561/?verify-iss=ISS&verify-key=base64:KEY' \
//     node origin.mjs --port 8080 --feed FILE
//
// Standard output tells in JSON, one object a line, where it listens and what
// readers ask for.
import { parseArgs } from 'node:util';
import express from 'express';
import { Channel, HttpResponseFormat, HttpStreamFormat } from '@fanoutio/grip';
import { ServeGrip } from '@fanoutio/serve-grip';
import { Feed } from './feed.mjs';

const { values: flags } = parseArgs({
  options: { port: { type: 'string' }, feed: { type: 'string' } },
});
const feed = new Feed(flags.feed);
const serveGrip = new ServeGrip({ grip: process.env.GRIP_URL, gripProxyRequired: true });
const publisher = serveGrip.getPublisher();
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const app = express();

// Writers. ?lost stores a message and publishes nothing, as a service does that
// dies between the two.
app.put('/messages/:text', async (req, res) => {
  const message = feed.add(req.params.text);
  if (req.query.lost === undefined) {
    await publisher.publishFormats('feed', [
      new HttpStreamFormat(asEvents([message])),
      new HttpResponseFormat({ headers: { 'Content-Type': 'application/json' }, body: JSON.stringify([message]) }),
    ], String(message.id), String(message.id - 1));
  }
  res.json(message);
});

// Ends all streams.
app.post('/farewell', async (req, res) => {
  await publisher.publishFormats('farewell', new HttpStreamFormat(null, true));
  res.end();
});

// Readers. serve-grip 2.0.0 takes any Grip-Sig for a good one: it does not wait
// for the promise that grip 4 answers the question with. So we ask ourselves.
app.use(async (req, res, next) => {
  const { isSigned } = await publisher.validateGripSig(req.get('Grip-Sig'));
  tell({
    method: req.method,
    url: req.originalUrl,
    signed: isSigned,
    lastEventId: req.get('Last-Event-ID') ?? '',
    gripLast: req.get('Grip-Last') ?? '',
  });
  if (isSigned) {
    next();
  } else {
    res.status(403).end('Not signed by the proxy.\n');
  }
});
app.use(serveGrip);
app.use('/page', express.static('page'));
app.use('/page', express.static('node_modules/pollymer/dist'));

// A stream of all messages after ?after, or those that a reader who comes back
// has not seen. ?link and ?keep-alive are the timeouts of the two, in seconds.
app.get('/feed/stream', (req, res) => {
  holdStream(req, res, 'retry: 100\n\n', Number(req.get('Last-Event-ID') ?? req.query.after ?? 0));
});

// What the proxy asks for when it has reason to believe that a stream lacks
// something.
app.get('/feed/more', (req, res) => {
  holdStream(req, res, '', lastSeen(req));
});

function holdStream(req, res, greeting, after) {
  const body = greeting + asEvents(feed.after(after));
  const link = new URLSearchParams(req.query);
  link.delete('after');
  const instruct = res.grip.startInstruct();
  instruct.addChannel([new Channel('feed', String(feed.lastId)), 'farewell']);
  instruct.setHoldStream();
  instruct.setNextLink(`/feed/more?${link}`, Number(req.query.link ?? 0));
  if (req.query['keep-alive'] !== undefined) {
    instruct.setKeepAlive(':\n\n', Number(req.query['keep-alive']));
  }
  res.type('text/event-stream').end(body);
}

// The messages after ?after as a list, empty if none comes within ?timeout
// seconds.
app.get('/feed/next', (req, res) => {
  const after = Number(req.query.after ?? 0);
  const news = feed.after(after);
  if (news.length === 0) {
    const instruct = res.grip.startInstruct();
    instruct.addChannel(new Channel('feed', String(after)));
    instruct.setHoldLongPoll(Number(req.query.timeout ?? 0));
  }
  res.type('application/json').end(JSON.stringify(news));
});

// A stream and a poll of any one channel, for publishers that are not ours.
app.get('/channel/:name/stream', (req, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(req.params.name);
  instruct.setHoldStream();
  res.type('text/plain').end('open\n');
});
app.get('/channel/:name/poll', (req, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(req.params.name);
  instruct.setHoldLongPoll();
  res.type('application/json').end('{"news":[]}\n');
});

// The id of the last message of the feed that a stream has got, as the proxy
// tells in Grip-Last: feed; last-id=7.
function lastSeen(req) {
  const found = /(?:^|, *)feed; *last-id=(\d+)/.exec(req.get('Grip-Last') ?? '');
  return Number(found?.[1] ?? 0);
}

function asEvents(messages) {
  return messages.map(({ id, text }) => `id: ${id}\ndata: ${JSON.stringify({ id, text })}\n\n`).join('');
}

const server = app.listen(Number(flags.port), '127.0.0.1', (error) => {
  if (error) {
    throw error;
  }
  tell({ listening: server.address().port });
});
