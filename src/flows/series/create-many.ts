/** Creating series: whether one may be, and thousands in one transaction. */
import { v7 as uuidv7 } from 'uuid';
import { answerOnce, type Answered, type Once } from '../../catalog/answer-once.ts';
import { commitChanges, type Change } from '../../catalog/commit-feed.ts';
import type { Database, DatabaseTransaction, ReadsAndWrites } from '../../catalog/database.ts';
import { returnPlaces, takePlaces } from '../../catalog/series/lane-store.ts';
import { missingRecordings, unknownRecording } from '../../catalog/series/recording-store.ts';
import { insertSeries, type SeriesToInsert } from '../../catalog/series/series-insert.ts';
import { nameTaken, projectIds } from '../../catalog/series/series-store.ts';
import { readVocabularies, readVocabulary, type StoredVocabulary } from '../../catalog/tags/vocabulary-store.ts';
import { notFound, VarveError } from '../../core/errors.ts';
import type { LanePlaces } from '../../core/upkeep/lane-plan.ts';
import { nameKey } from '../../core/same-name.ts';
import type { NewSeries } from '../../core/signal/series.ts';
import type { TagUnit } from '../../core/signal/tag-value.ts';
import { assertInVocabulary } from '../../core/tags/vocabulary.ts';
import { mayUse } from './series-reach.ts';
import type { Principal } from '../principal.ts';
import type { CreateOutcome } from './series-service.ts';
import { readUnit, unitsNamingTags } from './tag-units.ts';

/**
 * @returns the units of the quantities among the tags
 * @throws forbidden for a project out of reach; unprocessable naming a tag
 */
export async function checkNew(db: Database, principal: Principal, input: NewSeries): Promise<TagUnit[]> {
  assertInReach(principal, input);
  const units = unitsNamingTags(input.tags);
  assertInVocabulary(await readVocabulary(db, input.project), input.tags, null, readUnit);
  return units;
}

function assertInReach(principal: Principal, { project }: NewSeries): void {
  if (mayUse(principal, project)) return;
  throw new VarveError('forbidden', `project: the token does not reach ${JSON.stringify(project)}`, {
    errors: [{ field: 'project', message: 'is out of reach for this token' }],
  });
}

/** The inputs that can be stored, with what they need, and why the others cannot. */
export type Checked = { readonly projectId: string; readonly input: NewSeries } | { readonly error: unknown };

/**
 * Creates those that can be, in one transaction.
 * @param once answers a second request of the same key with the first one's answer
 * @param print makes the answer, as plain JSON
 */
export async function createMany<A>(
  { reads, writes: db }: ReadsAndWrites,
  principal: Principal,
  inputs: readonly NewSeries[],
  once: Once | null,
  print: (outcomes: readonly CreateOutcome[]) => A,
): Promise<Answered<A>> {
  const { checked, units } = await checkAll(reads, principal, inputs);
  return withLanes(db, wantedOf(checked), async (series) => {
    let stored: ReadonlySet<string> = new Set();
    let changes: readonly Change[] = [];
    const store = async (trx: DatabaseTransaction): Promise<A> => {
      const inserted = await insertSeries(trx, series, units, principal.tokenId);
      const answer = print(outcomesOf(checked, series, inserted.stored));
      ({ stored, changes } = inserted);
      return answer;
    };
    const result = await db.transaction().execute(async (trx) => {
      const answered = once
        ? await answerOnce(trx, principal.tokenId, once, () => store(trx))
        : { answer: await store(trx), replayed: false };
      await commitChanges(trx, changes);
      return answered;
    });
    return { stored, result };
  });
}

/** Finds places in lanes for new series. Those that `work` does not store give theirs back, all of them if it throws. */
export async function withLanes<T>(
  db: Database,
  wanted: readonly Pick<SeriesToInsert, 'projectId' | 'input'>[],
  work: (series: readonly SeriesToInsert[]) => Promise<{ readonly stored: ReadonlySet<string>; readonly result: T }>,
): Promise<T> {
  // In a transaction of its own: lanes stay locked until it ends, and flushes would wait for thousands of series.
  const places =
    wanted.length === 0 ? [] : await db.transaction().execute((trx) => takePlaces(trx, wanted.length, uuidv7));
  const lanes = laneOfEach(places);
  const series = wanted.map((each, at): SeriesToInsert => ({ ...each, id: uuidv7(), laneId: lanes[at] }));
  let stored: ReadonlySet<string> = new Set();
  try {
    const done = await work(series);
    ({ stored } = done);
    return done.result;
  } finally {
    const unused = series.filter(({ id }) => !stored.has(id)).map(({ laneId }) => laneId);
    if (unused.length > 0) await db.transaction().execute((trx) => returnPlaces(trx, countsOf(unused)));
  }
}

export function wantedOf(checked: readonly Checked[]): Exclude<Checked, { readonly error: unknown }>[] {
  return checked.filter((each) => 'input' in each);
}

/** What can be created of the inputs, with the units of the quantities among their tags. */
export async function checkAll(
  db: Database,
  principal: Principal,
  inputs: readonly NewSeries[],
): Promise<{ checked: Checked[]; units: TagUnit[] }> {
  const projects = [...new Set(inputs.map(({ project }) => project))];
  const ids = await projectIds(db, projects);
  const vocabularies = await readVocabularies(db, projects);
  const units = new Map<string, TagUnit>();
  const checked = inputs.map((input): Checked => {
    try {
      assertInReach(principal, input);
      const projectId = ids.get(nameKey(input.project));
      if (projectId === undefined) throw notFound('project', input.project);
      const used = unitsNamingTags(input.tags);
      assertInVocabulary(vocabularyOf(vocabularies, input), input.tags, null, readUnit);
      for (const unit of used) units.set(unit.code, unit);
      return { projectId, input };
    } catch (error) {
      return { error };
    }
  });
  const missing = await missingRecordings(db, wantedOf(checked));
  const withReasons = checked.map((each): Checked => {
    if (!('input' in each) || !missing.has(each.input)) return each;
    return { error: unknownRecording((each.input.recording as { id: string }).id) };
  });
  return { checked: withReasons, units: [...units.values()] };
}

function vocabularyOf(
  vocabularies: ReadonlyMap<string, StoredVocabulary>,
  { project }: NewSeries,
): StoredVocabulary | null {
  return vocabularies.get(nameKey(project)) ?? null;
}

function outcomesOf(
  checked: readonly Checked[],
  series: readonly SeriesToInsert[],
  stored: ReadonlySet<string>,
): CreateOutcome[] {
  let at = 0;
  return checked.map((each): CreateOutcome => {
    if ('error' in each) return each;
    const { id, input } = series[at++];
    return stored.has(id) ? { id } : { error: nameTaken(input.name) };
  });
}

/** Side by side: neighbours go to different lanes. */
function laneOfEach(places: readonly LanePlaces[]): string[] {
  const left = places.map((each) => ({ ...each }));
  const lanes: string[] = [];
  while (left.some((each) => each.places > 0)) {
    for (const each of left) {
      if (each.places === 0) continue;
      each.places--;
      lanes.push(each.id);
    }
  }
  return lanes;
}

function countsOf(laneIds: readonly string[]): { id: string; places: number }[] {
  const counts = new Map<string, number>();
  for (const id of laneIds) counts.set(id, (counts.get(id) ?? 0) + 1);
  return [...counts].map(([id, places]) => ({ id, places }));
}
