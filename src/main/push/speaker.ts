/** What `varve push` says on standard error: at once, and again while it lasts, but not on every try. */

const REPEAT_MS = 60_000;

export class Speaker {
  readonly #saidMs = new Map<string, number>();

  /** Says something that happens once. */
  say(message: string): void {
    process.stderr.write(`varve push: ${message}\n`);
  }

  /** Says something that lasts: at its beginning, and every minute. @param topic what lasts */
  repeat(topic: string, message: string): void {
    const now = performance.now();
    if (now - (this.#saidMs.get(topic) ?? -Infinity) < REPEAT_MS) return;
    this.#saidMs.set(topic, now);
    this.say(message);
  }

  /** It does not last any more. @param message is said if it had been told of */
  over(topic: string, message: string): void {
    if (this.#saidMs.delete(topic)) this.say(message);
  }
}
