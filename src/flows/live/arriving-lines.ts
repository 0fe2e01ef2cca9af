/** Lines of a body that goes on: those that have come wait here while others are worked on, and no more than that are read. */
import { textLines } from '../../formats/text/text-lines.ts';

export interface ArrivedLine {
  /** Its number in the body, from 1. */
  readonly line: number;
  readonly text: string;
}

/** Characters that wait, beyond which nothing is read; what one piece brings may go past it. */
const MOST_WAITING_CHARS = 256 * 1024;

export class ArrivingLines {
  #waiting: ArrivedLine[] = [];
  #waitingChars = 0;
  #isOver = false;
  #failure: unknown = null;
  #wakeTaker = (): void => {};
  #wakeReader = (): void => {};

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#read(body)
      .catch((error: unknown) => void (this.#failure = error))
      .finally(() => {
        this.#isOver = true;
        this.#wakeTaker();
      });
  }

  /**
   * The oldest lines that wait; empty ones are left out.
   * @returns none, if none has come for so long, or for the signal; null at the end of the body
   * @throws what is wrong with the body, once all lines before are taken
   */
  async take(most: number, ms: number, signal: AbortSignal): Promise<ArrivedLine[] | null> {
    if (this.#waiting.length === 0 && !this.#isOver && !signal.aborted) await this.#wait(ms, signal);
    if (this.#waiting.length === 0) {
      if (this.#failure !== null) throw this.#failure as Error;
      return this.#isOver ? null : [];
    }
    const taken = this.#waiting.splice(0, most);
    for (const { text } of taken) this.#waitingChars -= text.length;
    this.#wakeReader();
    return taken;
  }

  /** What comes from now on is thrown away. */
  stop(): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#wakeReader();
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake, { once: true });
      this.#wakeTaker = wake;
    });
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    let line = 0;
    for await (const texts of textLines(body)) {
      if (this.#isOver) return;
      for (const text of texts) {
        line++;
        if (text.trim() === '') continue;
        this.#waiting.push({ line, text });
        this.#waitingChars += text.length;
      }
      this.#wakeTaker();
      while (this.#waitingChars > MOST_WAITING_CHARS && !this.#isOver) {
        await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      }
    }
  }
}
