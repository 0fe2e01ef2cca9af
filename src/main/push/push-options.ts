/** What `varve push` is asked to do, checked before anything is opened. */
import { hostname } from 'node:os';
import { VarveError } from '../../core/errors.ts';
import type { Precision } from '../../formats/line-protocol/line-parser.ts';
import { checkBroker } from './broker-url.ts';
import type { FolderRules } from './folder-source.ts';
import type { LineFormat } from './line-cutter.ts';
import { parseJsonPath } from './json-path.ts';
import { parseField } from './message-lines.ts';
import type { MqttRules } from './mqtt-source.ts';
import { LEAST_SPOOL_BYTES, MOST_SPOOL_MIB } from './push-spool.ts';
import { parseTemplate } from './topic-template.ts';

/** Options of the command line, as they are written. */
export interface PushCommand {
  readonly project: string;
  readonly spool: string;
  readonly limit: string;
  readonly name?: string;
  readonly giveUp?: boolean;
  readonly once?: boolean;
  readonly format?: 'lines' | 'items' | 'json';
  readonly precision: Precision;
  readonly watch?: string;
  readonly rest: string;
  readonly keep?: boolean;
  readonly mqtt?: string;
  readonly topic?: readonly string[];
  readonly clientId?: string;
  readonly measurement: string;
  readonly field?: readonly string[];
  readonly time?: string;
  readonly status?: boolean;
  readonly json?: boolean;
}

export type PushSource =
  | { readonly kind: 'stdin'; readonly format: LineFormat; readonly precision: Precision }
  | ({ readonly kind: 'folder'; readonly isOnce: boolean } & FolderRules)
  | ({ readonly kind: 'mqtt' } & MqttRules);

const MIB = 1024 * 1024;
const NAME = /^[\x21-\x7e]{1,200}$/;

/** @throws invalid-input naming the option that is wrong */
export function pushSourceOf(command: PushCommand): PushSource {
  const { watch, mqtt, format, precision } = command;
  if (watch !== undefined && mqtt !== undefined)
    throw wrong('--watch and --mqtt: one of the two; run an agent for each');
  if (mqtt !== undefined) return mqttSource(mqtt, command);
  for (const name of ['topic', 'field', 'time', 'clientId'] as const) {
    if (command[name] !== undefined) throw wrong(`--${name === 'clientId' ? 'client-id' : name}: goes with --mqtt`);
  }
  if (format === 'json') throw wrong('--format json: goes with --mqtt; others are lines and items');
  if (watch === undefined) {
    if (command.once === true || command.keep === true) throw wrong('--once and --keep: go with --watch');
    return { kind: 'stdin', format: format ?? 'lines', precision };
  }
  const { once = false, keep = false } = command;
  const restMs = numberOf('--rest', command.rest, 0) * 1000;
  return { kind: 'folder', folder: watch, format: format ?? null, precision, restMs, keeps: keep, isOnce: once };
}

function mqttSource(url: string, command: PushCommand): PushSource {
  const { topic = [], field = [], time, measurement, precision, format = 'json' } = command;
  checkBroker(url);
  if (topic.length === 0) throw wrong("--topic: is missing: a template such as 'lab/{room}/{measurement}'");
  if (measurement === '' || /[\n\r\0]|\\$|^#/.test(measurement)) throw wrong('--measurement: is no name');
  return {
    kind: 'mqtt',
    url,
    format,
    precision,
    measurement,
    clientId: command.clientId ?? `varve-push-${agentName(command)}`,
    templates: topic.map(parseTemplate),
    fields: field.map(parseField),
    time: time === undefined ? null : parseJsonPath(time, '--time'),
  };
}

/** What the source of the spool is called by. @throws invalid-input */
export function agentName({ name = hostname() }: PushCommand): string {
  if (!NAME.test(name)) throw wrong('--name: must be 1 to 200 visible ASCII characters');
  return name;
}

/** @throws invalid-input */
export function limitBytes({ limit }: PushCommand): number {
  const mib = numberOf('--limit', limit, LEAST_SPOOL_BYTES / MIB);
  if (mib > MOST_SPOOL_MIB) throw wrong(`--limit: must be at most ${MOST_SPOOL_MIB} MiB`);
  return Math.floor(mib * MIB);
}

function numberOf(option: string, text: string, least: number): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (!(value >= least)) throw wrong(`${option} ${text}: must be a number from ${least} on`);
  return value;
}

function wrong(message: string): VarveError {
  return new VarveError('invalid-input', message);
}
