/** Live samples, and streams of appends, on the wire. */
import { z } from 'zod';
import type { AnsweredItem, LiveEvent, StreamEvent } from '../../flows/live/live-service.ts';
import { HEARTBEAT, type OutEvent } from '../body/event-stream.ts';
import { toItem, type ToDocument } from './append-many-schema.ts';
import { name, queryBoolean } from './scalars.ts';
import { channelParameters, gapRule, physicalUnit, refineUnit, sourceParameter } from './samples-schema.ts';
import { DEFAULT_PROJECT } from '../../core/signal/series.ts';

/** Longest position that is read. */
const MAX_POSITION_CHARS = 200;

export const liveQuery = z
  .strictObject({
    after: z.string().min(1).max(MAX_POSITION_CHARS).optional().meta({
      description:
        'Where to go on: the id of an event, or the commit that was read (X-Varve-Commit). Without it, with what comes from now on',
    }),
    ...channelParameters,
    physical: queryBoolean.optional().meta({ description: 'true: values with scale and offset applied, as float64' }),
    unit: physicalUnit,
    format: z.enum(['sse', 'ndjson']).optional().meta({ description: 'Instead of Accept' }),
  })
  .superRefine(refineUnit);

export const streamQuery = z.strictObject({
  project: name.default(DEFAULT_PROJECT).meta({ description: 'Project of series that are called by their names' }),
  gaps: gapRule,
  source: sourceParameter,
});

const nsText = (ns: bigint | null): string | null => (ns === null ? null : String(ns));

export function toLiveEvent(event: LiveEvent): OutEvent {
  const { kind, position: id } = event;
  switch (event.kind) {
    case 'start': {
      const { seriesId: series, dtype, channelLabels: channels, sampling } = event;
      const data = { series, commit: Number(event.commit), dtype, channels, sampling };
      return { event: kind, id, data: JSON.stringify(data) };
    }
    case 'rows': {
      const head = JSON.stringify({ commit: Number(event.commit), rows: event.rows, late: event.late });
      return { event: kind, id, data: `${head.slice(0, -1)},${event.json.slice(1)}` };
    }
    case 'edit':
    case 'gap': {
      const { commit, firstRow, rows, startNs, endNs } = event;
      const what = event.kind === 'edit' ? { kind: event.edit } : { reason: event.reason };
      const span = { first_row: firstRow, rows, start: nsText(startNs), end: nsText(endNs) };
      return { event: kind, id, data: JSON.stringify({ commit: Number(commit), ...what, ...span }) };
    }
    case 'heartbeat':
      return { event: HEARTBEAT, id, data: '{}' };
    case 'end':
      return { event: kind, id, data: JSON.stringify({ reason: event.reason, detail: event.detail }) };
  }
}

/** The lines that answer a stream. */
export function toStreamLines(event: StreamEvent, toDocument: ToDocument): string {
  switch (event.kind) {
    case 'open': {
      const { source, lastSequence } = event;
      return line({ event: 'open', ...(source !== null && { source, last_sequence: toNumber(lastSequence) }) });
    }
    case 'items':
      return event.items.map((item) => line(toStreamItem(item, toDocument))).join('');
    case 'heartbeat':
      return line({ event: HEARTBEAT });
    case 'end': {
      const problem = toDocument(event.error);
      return line({ event: 'end', reason: event.reason, status: problem.status, problem });
    }
  }
}

function toStreamItem({ item, sequence }: AnsweredItem, toDocument: ToDocument): object {
  return {
    ...toItem(item, toDocument),
    ...(item.kind === 'appended' && { commit: Number(item.commit) }),
    ...(sequence !== null && { sequence: toNumber(sequence) }),
  };
}

/** Past 2^53 as digits, as it can be sent. */
function toNumber(sequence: bigint | null): number | string | null {
  if (sequence === null) return null;
  return Number.isSafeInteger(Number(sequence)) ? Number(sequence) : String(sequence);
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
