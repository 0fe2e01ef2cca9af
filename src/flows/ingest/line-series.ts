/** Finds the series that values of a field go to, and makes those that are met for the first time. */
import type { ReadsAndWrites } from '../../catalog/database.ts';
import { findSeries } from '../../catalog/series/series-store.ts';
import { isVarveError, messageOf } from '../../core/errors.ts';
import type { Dtype } from '../../core/numbers/dtype.ts';
import { nameKey } from '../../core/same-name.ts';
import { UNSAID, type NewSeries, type Series } from '../../core/signal/series.ts';
import {
  readField,
  readKey,
  seriesNameOf,
  seriesTagsOf,
  type LineKey,
} from '../../formats/line-protocol/line-names.ts';
import { VALUE_KINDS, type ValueKind } from '../../formats/line-protocol/line-points.ts';
import { timeRule } from '../append/append-samples.ts';
import type { Principal } from '../principal.ts';
import { createMany } from '../series/create-many.ts';
import type { LineCardinality } from './line-cardinality.ts';
import type { LineProject, LineTarget } from './line-memory.ts';

/** Series that are asked for, and made, by one statement or transaction. */
const ASKED_AT_ONCE = 5_000;
const MADE_AT_ONCE = 10_000;
/** The version of a series that has just been made. */
const FIRST_VERSION = 1;
/** The type of a series that a text has made: numbers may come later. */
const TEXT_DTYPE: Dtype = 'float64';

/** A field of a body, with values of one kind. */
export interface LineField {
  /** Measurement and tags, and the field, as they were sent. */
  readonly key: string;
  readonly field: string;
  readonly kind: ValueKind;
}

/** Where its values go, or why they cannot. */
export type FoundTarget = { readonly target: LineTarget } | { readonly fault: string };

export interface LineSeriesDeps extends ReadsAndWrites {
  readonly cardinality: LineCardinality;
}

/** Names of the series that a field may have. */
interface Candidates extends LineField {
  readonly at: number;
  readonly described: LineKey;
  readonly fieldName: string;
  readonly base: string;
  /** Null: a text goes to the first, whatever numbers that has. */
  readonly typed: string | null;
}

/** A series to be made, and the fields that wait for it. */
interface Plan {
  readonly input: NewSeries;
  readonly kind: ValueKind | null;
  readonly waiting: number[];
}

/**
 * Gives each field its series. The first one has the type of the first value. Values of another type go to a second one, which says so by a tag.
 * @param mayMake whether a line that is not refused needs the field: only then its series is made
 * @returns in the order given; undefined: somebody else has made it meanwhile, so it is to be asked for anew
 */
export async function findLineSeries(
  deps: LineSeriesDeps,
  principal: Principal,
  project: LineProject,
  fields: readonly LineField[],
  mayMake: (found: readonly (FoundTarget | undefined)[], at: number) => boolean,
): Promise<(FoundTarget | undefined)[]> {
  const found: (FoundTarget | undefined)[] = fields.map(() => undefined);
  const plans = new Map<string, Plan>();
  for (let from = 0; from < fields.length; from += ASKED_AT_ONCE) {
    const wanted = fields.slice(from, from + ASKED_AT_ONCE).map((each, i) => candidatesOf(each, from + i));
    const series = await seriesByName(deps, project, wanted);
    // A text makes a series only if no number does.
    const numbersFirst = [...wanted].sort((a, b) => Number(a.typed === null) - Number(b.typed === null) || a.at - b.at);
    for (const each of numbersFirst) found[each.at] = choose(each, series, plans, project);
  }
  await makeAll(deps, principal, project, { plans, found, mayMake });
  return found;
}

function candidatesOf(field: LineField, at: number): Candidates {
  const described = readKey(field.key);
  const fieldName = readField(field.field);
  const base = seriesNameOf(described, fieldName);
  const typed = field.kind === 'text' ? null : seriesNameOf(described, fieldName, field.kind);
  return { ...field, at, described, fieldName, base, typed };
}

async function seriesByName(
  { reads }: LineSeriesDeps,
  project: LineProject,
  wanted: readonly Candidates[],
): Promise<ReadonlyMap<string, Series>> {
  const names = [...new Set(wanted.flatMap(({ base, typed }) => (typed === null ? [base] : [base, typed])))];
  const series = await findSeries(
    reads,
    names.map((name) => ({ project: project.name, name })),
  );
  return new Map(series.flatMap((each) => (each ? [[nameKey(each.name), each] as const] : [])));
}

/** @returns undefined: it is planned */
function choose(
  { at, kind, described, fieldName, base, typed }: Candidates,
  series: ReadonlyMap<string, Series>,
  plans: Map<string, Plan>,
  project: LineProject,
): FoundTarget | undefined {
  const plan = (name: string, type: string | null): undefined => {
    const known = plans.get(nameKey(name));
    if (known) {
      known.waiting.push(at);
      return;
    }
    const dtype = kind === 'text' ? TEXT_DTYPE : (kind as Dtype);
    const input = newLineSeries(project, name, dtype, seriesTagsOf(described, fieldName, type));
    plans.set(nameKey(name), { input, kind: kind === 'text' ? null : kind, waiting: [at] });
  };
  const first = series.get(nameKey(base));
  if (typed === null) return first ? { target: targetOf(first) } : plan(base, null);
  if (first && takes(first, kind)) return { target: targetOf(first) };
  const second = series.get(nameKey(typed));
  if (second && takes(second, kind)) return { target: targetOf(second) };
  const planned = plans.get(nameKey(base));
  if (!first && (!planned || planned.kind === kind)) return plan(base, null);
  if (!second) return plan(typed, kind);
  return { fault: `the series ${base} and ${typed} take no ${kind}` };
}

function takes({ sampling, channels, dtype }: Series, kind: ValueKind): boolean {
  return sampling.kind === 'irregular' && channels.length === 1 && dtype === kind;
}

function targetOf(series: Series): LineTarget {
  return { id: series.id, knownVersion: series.version, rule: timeRule(series) };
}

function newLineSeries({ name: project }: LineProject, name: string, dtype: Dtype, tags: NewSeries['tags']): NewSeries {
  return {
    project,
    name,
    description: null,
    dtype,
    channels: [{ label: 'value' }],
    unit: null,
    scale: 1,
    offset: 0,
    sampling: { kind: 'irregular' },
    timeReference: 'utc',
    duplicates: 'last',
    codec: 'gzip',
    tags,
    ...UNSAID,
    provenance: {},
  };
}

interface Making {
  readonly plans: ReadonlyMap<string, Plan>;
  readonly found: (FoundTarget | undefined)[];
  readonly mayMake: (found: readonly (FoundTarget | undefined)[], at: number) => boolean;
}

async function makeAll(
  deps: LineSeriesDeps,
  principal: Principal,
  project: LineProject,
  { plans, found, mayMake }: Making,
): Promise<void> {
  if (plans.size === 0) return;
  const { cardinality } = deps;
  let wanted = [...plans.values()];
  const room = await cardinality.room(project.id, wanted.length);
  if (room < wanted.length) {
    // Some may have been made meanwhile, and count already.
    const names = wanted.map(({ input }) => ({ project: project.name, name: input.name }));
    const there = await findSeries(deps.reads, names);
    wanted = wanted.filter((_, at) => there[at] === null);
  }
  const fault = `max-series limit exceeded: lines make no more series in a project of ${cardinality.most}`;
  for (const { waiting } of wanted.slice(Math.max(0, room))) for (const at of waiting) found[at] = { fault };
  const possible = wanted.slice(0, Math.max(0, room)).filter(({ waiting }) => waiting.some((at) => mayMake(found, at)));
  for (let from = 0; from < possible.length; from += MADE_AT_ONCE) {
    const some = possible.slice(from, from + MADE_AT_ONCE);
    const inputs = some.map(({ input }) => input);
    const { answer } = await createMany(deps, principal, inputs, null, (outcomes) => outcomes);
    let made = 0;
    some.forEach(({ input, waiting }, i) => {
      const outcome = answer[i];
      if ('id' in outcome) {
        made++;
        const target = { id: outcome.id, knownVersion: FIRST_VERSION, rule: timeRule(input) };
        for (const at of waiting) found[at] = { target };
      } else if (!isTaken(outcome.error)) {
        for (const at of waiting) found[at] = { fault: messageOf(outcome.error) };
      }
    });
    cardinality.made(project.id, project.name, made);
  }
}

/** @throws what is no refusal */
function isTaken(error: unknown): boolean {
  if (!isVarveError(error)) throw error;
  return error.slug === 'name-taken';
}

/** The kind of value of a code. */
export function valueKindOf(code: number): ValueKind {
  return VALUE_KINDS[code];
}
