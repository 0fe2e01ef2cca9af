/** Reads events as they come: server-sent events, or a JSON object a line. */
import type { IncomingMessage } from 'node:http';

export interface Told {
  readonly event: string;
  /** Undefined: it has none. */
  readonly id?: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- what a test expects of it, it says itself
  readonly [field: string]: any;
}

export class EventReader {
  readonly #answer: IncomingMessage;
  readonly #events: AsyncGenerator<Told>;
  /** The last id, as an event source keeps it. */
  lastId: string | undefined;

  constructor(answer: IncomingMessage) {
    this.#answer = answer;
    answer.on('error', () => {});
    this.#events = String(answer.headers['content-type']).startsWith('text/event-stream')
      ? eventsOf(answer)
      : linesOf(answer);
  }

  /** The next event that is no heartbeat; undefined at the end. */
  async next(): Promise<Told | undefined> {
    for (;;) {
      const { value, done } = (await this.#events.next()) as { value?: Told; done?: boolean };
      if (done || !value) return undefined;
      this.lastId = value.id ?? this.lastId;
      if (value.event !== 'heartbeat') return value;
    }
  }

  /** So many events. */
  async take(count: number): Promise<Told[]> {
    const taken: Told[] = [];
    while (taken.length < count) {
      const event = await this.next();
      if (!event) break;
      taken.push(event);
    }
    return taken;
  }

  /** All events up to the end; a connection that breaks is one. */
  async rest(): Promise<Told[]> {
    const taken: Told[] = [];
    try {
      for (let event = await this.next(); event; event = await this.next()) taken.push(event);
    } catch {
      // it broke
    }
    return taken;
  }

  close(): void {
    this.#answer.destroy();
  }
}

async function* pieces(answer: IncomingMessage, separator: string): AsyncGenerator<string> {
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) {
    text += String(piece);
    const parts = text.split(separator);
    text = parts.pop()!;
    yield* parts;
  }
}

async function* linesOf(answer: IncomingMessage): AsyncGenerator<Told> {
  for await (const line of pieces(answer, '\n')) yield JSON.parse(line) as Told;
}

async function* eventsOf(answer: IncomingMessage): AsyncGenerator<Told> {
  for await (const block of pieces(answer, '\n\n')) {
    const fields = block.split('\n').map((line) => /^([a-z]*): ?(.*)$/.exec(line)!.slice(1) as [string, string]);
    const { event = 'heartbeat', id, data = '{}' } = Object.fromEntries(fields) as Record<string, string>;
    yield { ...(JSON.parse(data) as object), event, ...(id !== undefined && { id }) };
  }
}
