import { appendFileSync, existsSync, readFileSync } from 'node:fs';

// A Feed is a list of messages, numbered from 1, in a file with one JSON object
// a line. It outlives the process: add returns when the message is written.
export class Feed {
  #file;
  #messages = [];

  constructor(file) {
    this.#file = file;
    if (existsSync(file)) {
      this.#messages = readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
    }
  }

  get lastId() {
    return this.#messages.length;
  }

  // The message with this text, which is added unless it is there already: who
  // got no answer may ask again.
  add(text) {
    let message = this.#messages.find((m) => m.text === text);
    if (message === undefined) {
      message = { id: this.lastId + 1, text };
      appendFileSync(this.#file, JSON.stringify(message) + '\n');
      this.#messages.push(message);
    }
    return message;
  }

  // The messages after the one with this id, 0 for all.
  after(id) {
    return this.#messages.slice(id);
  }
}
