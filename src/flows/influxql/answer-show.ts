/** What SHOW statements answer: which measurements, tags, fields and series there are. */
import type { Database } from '../../catalog/database.ts';
import { foundFields, foundMeasurements, foundTags, type FoundTag } from '../../catalog/search/found-tags.ts';
import { searchSeries } from '../../catalog/search/search-store.ts';
import { namingFaults } from '../../catalog/search/search-snapshot.ts';
import { VarveError } from '../../core/errors.ts';
import { DTYPES, type Dtype } from '../../core/numbers/dtype.ts';
import type { ShowStatement } from '../../core/influxql/influxql-statement.ts';
import { lineKey } from './line-key.ts';
import { expressionOf, isMeant } from './influx-conditions.ts';
import type { Principal } from '../principal.ts';

/** Rows of one statement. */
const MAX_SHOWN = 100_000;

/** A series of the answer, with all of its rows. */
export interface ShownSeries {
  readonly name?: string;
  readonly columns: readonly string[];
  readonly values: readonly (readonly (string | number | boolean)[])[];
}

/** @throws limit-exceeded; what is wrong with the condition */
export async function answerShow(
  searches: Database,
  principal: Principal,
  project: string,
  statement: ShowStatement,
): Promise<ShownSeries[]> {
  const { kind, from, tags, keys, limit, offset } = statement;
  const question = {
    where: expressionOf(project, from, tags),
    scope: principal.projects?.ids ?? null,
    most: MAX_SHOWN + 1,
  };
  const page = <T>(items: readonly T[]): readonly T[] =>
    items.slice(offset, limit === undefined ? undefined : offset + limit);
  return namingFaults(async () => {
    switch (kind) {
      case 'measurements': {
        const names = few(await foundMeasurements(searches, question));
        return shown('measurements', ['name'], page(names.map((name) => [name])));
      }
      case 'tag-keys': {
        const found = few(await foundTags(searches, question, false));
        return byMeasurement(found, ['tagKey'], ({ key }) => [key], page);
      }
      case 'tag-values': {
        const found = few(await foundTags(searches, question, true)).filter(({ key }) =>
          keys.some((match) => isMeant(match, key)),
        );
        return byMeasurement(found, ['key', 'value'], ({ key, value }: FoundTag) => [key, value!], page);
      }
      case 'field-keys': {
        const found = few(await foundFields(searches, question));
        return byMeasurement(found, ['fieldKey', 'fieldType'], ({ field, dtype }) => [field, fieldType(dtype)], page);
      }
      case 'series': {
        const { items, after } = await searchSeries(
          searches,
          { ...question, sort: [], limit: MAX_SHOWN, after: null },
          question.scope,
        );
        if (after !== null) throw tooMany();
        const lines = [...new Set(items.flatMap((series) => lineKey(series.tags) ?? []))].sort();
        return shown(undefined, ['key'], page(lines.map((line) => [line])));
      }
    }
  });
}

function few<T>(found: readonly T[]): readonly T[] {
  if (found.length > MAX_SHOWN) throw tooMany();
  return found;
}

function tooMany(): Error {
  const message = `finds more than ${MAX_SHOWN}, the most of one answer; ask for fewer with FROM or WHERE`;
  return new VarveError('limit-exceeded', message, { errors: [{ field: 'q', message }] });
}

function shown(name: string | undefined, columns: readonly string[], values: ShownSeries['values']): ShownSeries[] {
  return values.length === 0 ? [] : [{ ...(name !== undefined && { name }), columns, values }];
}

function byMeasurement<T extends { readonly measurement: string }>(
  found: readonly T[],
  columns: readonly string[],
  row: (each: T) => readonly string[],
  page: <R>(items: readonly R[]) => readonly R[],
): ShownSeries[] {
  const names = [...new Set(found.map(({ measurement }) => measurement))];
  return names.flatMap((name) => {
    const own = found.filter(({ measurement }) => measurement === name);
    return shown(name, columns, page(own.map(row)));
  });
}

function fieldType(dtype: Dtype): string {
  if (dtype === 'uint8') return 'boolean';
  if (DTYPES[dtype].kind === 'float') return 'float';
  return dtype.startsWith('u') ? 'unsigned' : 'integer';
}
