/** InfluxQL as text becomes statements; what is not known is refused by its name. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isVarveError } from '../../src/core/errors.ts';
import { parseInfluxql } from '../../src/core/influxql/influxql-parser.ts';
import type { SelectStatement, ShowStatement } from '../../src/core/influxql/influxql-statement.ts';

const S = 1_000_000_000n;
const NOW = 1_777_626_000n * S;
const select = (text: string): SelectStatement => parseInfluxql(text, NOW)[0] as SelectStatement;
const show = (text: string): ShowStatement => parseInfluxql(text, NOW)[0] as ShowStatement;

describe('SELECT', () => {
  test('as Grafana sends it', () => {
    const text = `SELECT mean("value") FROM "cpu" WHERE ("host" = 'server-1' AND "region" =~ /^eu-.*$/) AND time >= 1777622400000ms and time <= 1777626000000ms GROUP BY time(10s), "host"::tag fill(null)`;
    expect(select(text)).toMatchObject({
      columns: [{ kind: 'call', call: 'mean', field: 'value', argument: null, alias: null }],
      from: [{ name: 'cpu' }],
      tags: {
        kind: 'and',
        of: [
          { kind: 'test', test: { op: '=', key: 'host', text: 'server-1' } },
          { kind: 'test', test: { op: '=~', key: 'region', regex: '^eu-.*$' } },
        ],
      },
      startNs: 1_777_622_400n * S,
      endNs: NOW + 1n,
      group: { everyNs: 10n * S, tags: [{ name: 'host' }], allTags: false },
      fill: 'null',
    });
  });

  test.each<[string, object]>([
    ['select * from m', { columns: [{ kind: 'all' }], fill: null }],
    ['SELECT a, "b c" AS d FROM "db"."autogen"."m"', { database: 'db', from: [{ name: 'm' }], columns: [{ alias: 'a' }, { name: 'b c', alias: 'd' }] }],
    ['SELECT a FROM "db".."m"', { database: 'db', from: [{ name: 'm' }] }],
    ['SELECT a FROM /^cpu/', { from: [{ regex: '^cpu' }] }],
    ['SELECT a FROM m ORDER BY time DESC LIMIT 5 OFFSET 2', { isDescending: true, limit: 5, offset: 2 }],
    ['SELECT percentile(a, 95.5) FROM m GROUP BY *', { columns: [{ call: 'percentile', argument: 95.5 }], group: { allTags: true } }],
    ['SELECT mean(*) FROM m GROUP BY time(1h30m), /^h/ fill(-1.5)', { columns: [{ field: null }], group: { everyNs: 5400n * S, tags: [{ regex: '^h' }] }, fill: { number: -1.5 } }],
    ['SELECT a FROM m WHERE time > now() - 1h', { startNs: NOW - 3600n * S + 1n }],
    ["SELECT a FROM m WHERE time >= '2026-05-01 09:00:00' AND time < 1777627000s", { startNs: NOW, endNs: 1_777_627_000n * S }],
    ["SELECT a FROM m WHERE time = 1777626000000000000 AND h <> ''", { startNs: NOW, endNs: NOW + 1n }],
    ["SELECT a FROM m WHERE h = 'it\\'s' -- a comment", { tags: { test: { text: "it's" } } }],
    ["SELECT a FROM m WHERE a = 'x' OR (b = 'y' AND c != 'z')", { tags: { kind: 'or', of: [{ kind: 'test' }, { kind: 'and' }] } }],
    ["SELECT a FROM m tz('UTC')", { from: [{ name: 'm' }] }],
  ])('%s', (text, wanted) => expect(select(text)).toMatchObject(wanted)); // prettier-ignore
});

test('LIMIT 0 means all', () => expect(select('SELECT a FROM m LIMIT 0').limit).toBeUndefined());

test('SHOW and CREATE DATABASE', () => {
  expect(parseInfluxql('SHOW DATABASES; show retention policies on "db" ;CREATE DATABASE x', NOW)).toEqual([
    { kind: 'databases' },
    { kind: 'retention-policies', database: 'db' },
    { kind: 'create-database', name: 'x' },
  ]);
  expect(show('SHOW MEASUREMENTS WITH MEASUREMENT =~ /c.*/ LIMIT 100')).toMatchObject({
    from: [{ regex: 'c.*' }],
    limit: 100,
  });
  expect(show('SHOW TAG VALUES ON db FROM "cpu" WITH KEY IN ("host", region) WHERE a = \'b\'')).toMatchObject({
    kind: 'tag-values',
    database: 'db',
    from: [{ name: 'cpu' }],
    keys: [{ name: 'host' }, { name: 'region' }],
  });
  expect(show('SHOW TAG VALUES WITH KEY = "host"').keys).toEqual([{ name: 'host' }]);
  expect(show('SHOW TAG KEYS FROM cpu').kind).toBe('tag-keys');
  expect(show('SHOW FIELD KEYS').kind).toBe('field-keys');
  expect(show('SHOW SERIES FROM a, b').from).toHaveLength(2);
});

test.each<[string, RegExp]>([
  ['', /no statement/],
  ['DROP DATABASE x', /"DROP" begins no statement/],
  ['SELECT', /name is missing/],
  ['SELECT a', /FROM is/],
  ['SELECT a FROM (SELECT b FROM c)', /queries within queries/],
  ['SELECT a + b FROM m', /reckoning/],
  ['SELECT derivative(a) FROM m', /derivative\(\) is not known/],
  ['SELECT mean(a), b FROM m', /cannot be mixed/],
  ['SELECT a FROM m GROUP BY time(1m)', /needs a function/],
  ['SELECT mean(a) FROM m GROUP BY time(1m, 10s)', /offset/],
  ['SELECT a FROM m WHERE a > 5', /compared by/],
  ['SELECT a FROM m WHERE a = 5', /text in single quotes/],
  ["SELECT a FROM m WHERE time > 'soon'", /is no time/],
  ["SELECT a FROM m WHERE a = 'x' OR time > 5", /OR/],
  ["SELECT a FROM m tz('Europe/Berlin')", /tz/],
  ['SELECT a FROM m fill(maybe)', /fill/],
  ['SHOW USERS', /SHOW "USERS"/],
  ['SELECT a FROM m; garbage', /garbage/],
  ["SELECT a FROM m WHERE h = 'open", /cannot be read/],
  [`SELECT a FROM m WHERE ${'('.repeat(50)}`, /deep/],
])('refuses %j', (text, message) => {
  let caught: unknown;
  try {
    parseInfluxql(text, NOW);
  } catch (error) {
    caught = error;
  }
  expect(isVarveError(caught) && caught.errors[0].field).toBe('q');
  expect((caught as Error).message).toMatch(message);
});

test('any text is read or refused, and never throws anything else', () => {
  const words = fc.constantFrom('SELECT', 'a', 'FROM', '"m"', 'WHERE', 'time', '>', '=', "'x'", 'now()', '-', '1h', 'GROUP', 'BY', 'time(1m)', ',', '(', ')', '/r/', '=~', 'AND', 'OR', 'SHOW', 'TAG', 'VALUES', ';', '*', 'mean(a)', '.', 'fill(none)', 'LIMIT', '5', '\\', '"', "'"); // prettier-ignore
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(words).map((list) => list.join(' ')),
        fc.string(),
      ),
      (text) => {
        try {
          parseInfluxql(text, NOW);
        } catch (error) {
          expect(isVarveError(error)).toBe(true);
        }
      },
    ),
    { numRuns: 2000 },
  );
});
