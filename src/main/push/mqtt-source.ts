/**
 * Messages of an MQTT broker. Each is acknowledged when it is durable here, and not before: what is not acknowledged the
 * broker keeps, and sends again.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type IPublishPacket, type MqttClient } from 'mqtt';
import { messageOf } from '../../core/errors.ts';
import { withoutPassword } from './broker-url.ts';
import { LineCutter, type LineFormat } from './line-cutter.ts';
import { lineOfMessage, type MessageRules } from './message-lines.ts';
import { arrivalNs, readPushed, RECORD_KINDS, type PushedLines } from './push-records.ts';
import type { Spool } from './push-spool.ts';
import type { Speaker } from './speaker.ts';

export interface MqttRules extends MessageRules {
  readonly url: string;
  /** By which the broker knows what this agent has not had yet. */
  readonly clientId: string;
  /** What payloads are. */
  readonly format: 'json' | LineFormat;
}

const FIRST_PAUSE_MS = 250;
const MOST_PAUSE_MS = 30_000;
const FULL_PAUSE_MS = 500;
const CONNECT_MS = 10_000;

/** Connects, and does so again whenever the connection is lost, until it is told to stop. */
export async function takeMqtt(spool: Spool, rules: MqttRules, speaker: Speaker, stop: AbortSignal): Promise<void> {
  let pauseMs = FIRST_PAUSE_MS;
  while (!stop.aborted) {
    if (!(await spool.hasRoom(spool.mostTakenBytes))) {
      spool.sayFull();
      await sleep(FULL_PAUSE_MS, undefined, { signal: stop }).catch(() => {});
      continue;
    }
    speaker.over('full', 'the spool has room again');
    const session = new MqttSession(spool, rules, speaker, stop);
    const why = await session.run();
    if (stop.aborted) break;
    if (session.hasConnected) pauseMs = FIRST_PAUSE_MS;
    if (why === null) continue;
    speaker.repeat('mqtt', `${withoutPassword(rules.url)}: ${why}: trying again`);
    await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal: stop }).catch(() => {});
    pauseMs = Math.min(pauseMs * 2, MOST_PAUSE_MS);
  }
}

class MqttSession {
  readonly #spool: Spool;
  readonly #rules: MqttRules;
  readonly #speaker: Speaker;
  readonly #stop: AbortSignal;
  #end: (why: string | null) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  hasConnected = false;

  constructor(spool: Spool, rules: MqttRules, speaker: Speaker, stop: AbortSignal) {
    this.#spool = spool;
    this.#rules = rules;
    this.#speaker = speaker;
    this.#stop = stop;
  }

  /** @returns why it ended; null: the spool is full, or it was stopped */
  async run(): Promise<string | null> {
    const { url, clientId } = this.#rules;
    const ended = new Promise<string | null>((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    const client = connect(url, {
      clientId,
      // The broker keeps what comes while this agent is away.
      clean: false,
      reconnectPeriod: 0,
      connectTimeout: CONNECT_MS,
      resubscribe: false,
    });
    const stopped = (): void => this.#end(null);
    this.#stop.addEventListener('abort', stopped, { once: true });
    client.on('error', (error) => this.#end(messageOf(error)));
    client.on('close', () => this.#end('the connection was closed'));
    client.on('connect', () => void this.#subscribe(client));
    client.handleMessage = (packet, done) => void this.#take(packet).then((isTaken) => isTaken && done(), this.#fail);
    try {
      return await ended;
    } finally {
      this.#stop.removeEventListener('abort', stopped);
      client.end(true);
    }
  }

  async #subscribe(client: MqttClient): Promise<void> {
    this.hasConnected = true;
    try {
      const filters = [...new Set(this.#rules.templates.map(({ filter }) => filter))];
      const granted = await client.subscribeAsync(filters, { qos: 1 });
      const refused = granted.find(({ qos }) => qos > 2);
      if (refused) return this.#end(`the broker refuses ${refused.topic}`);
      const weak = granted.find(({ qos }) => qos < 1);
      if (weak)
        this.#speaker.say(`the broker gives ${weak.topic} with QoS 0 only: what comes while it is away is lost`);
      this.#speaker.over('mqtt', `connected to ${withoutPassword(this.#rules.url)} again`);
    } catch (error) {
      this.#end(messageOf(error));
    }
  }

  /** @returns false: it must come again */
  async #take(packet: IPublishPacket): Promise<boolean> {
    const topic = packet.topic;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
    // What a broker repeats to whoever subscribes is no measurement of now.
    if (packet.retain) {
      this.#speaker.repeat('retained', `${topic}: what the broker has retained is passed over`);
      return true;
    }
    const origin = packet.qos > 0 ? originOf(packet.messageId ?? 0, topic, payload) : undefined;
    if (packet.dup && origin !== undefined && this.#spool.queue.knows(origin)) return true;
    const read = this.#read(topic, payload);
    const bytes = payload.length + read.entries.reduce((sum, each) => sum + each.payload.length, 0);
    if (!(await this.#spool.hasRoom(bytes))) {
      this.#spool.sayFull();
      if (packet.qos > 0) {
        this.#end(null);
        return false;
      }
      // Nobody would send it again.
    }
    return this.#spool.take(read, { from: topic, ...(origin !== undefined && { origin }) }, this.#stop);
  }

  #read(topic: string, payload: Buffer): PushedLines {
    const { format, precision } = this.#rules;
    const most = this.#spool.mostTakenBytes;
    if (payload.length > most) {
      const reason = `a message of ${payload.length} bytes: ${most} are the most`;
      return { entries: [], refused: [{ line: payload.subarray(0, most), reason }] };
    }
    if (format !== 'json') {
      const cutter = new LineCutter(format, most);
      return readPushed([...cutter.take(payload), ...cutter.end()], format, precision);
    }
    const found = lineOfMessage(topic, payload, this.#rules, arrivalNs);
    if ('fault' in found) return { entries: [], refused: [{ line: payload, reason: found.fault }] };
    return { entries: [{ kind: RECORD_KINDS.line, payload: Buffer.from(found.line) }], refused: [] };
  }
}

/** By which a message that the broker sends again is known. */
function originOf(messageId: number, topic: string, payload: Buffer): bigint {
  const hash = createHash('sha256').update(`${messageId} ${topic}\0`).update(payload).digest();
  return hash.readBigUInt64LE(0) || 1n;
}
