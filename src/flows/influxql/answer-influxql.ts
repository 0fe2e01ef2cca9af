/** A query of InfluxQL, from its text to the bytes of the answer. */
import { isVarveError, VarveError } from '../../core/errors.ts';
import { parseInfluxql } from '../../core/influxql/influxql-parser.ts';
import type { InfluxStatement } from '../../core/influxql/influxql-statement.ts';
import { nameKey } from '../../core/same-name.ts';
import type { AccessService } from '../people/access-service.ts';
import { answerSelect, type SelectDeps } from './answer-select.ts';
import { answerShow, type ShownSeries } from './answer-show.ts';
import type { InfluxqlRequest } from './influxql-service.ts';

export interface InfluxqlDeps extends SelectDeps {
  readonly access: Pick<AccessService, 'listProjects' | 'createProject'>;
  /** ns since 1970. */
  readonly now: () => bigint;
}

/** Errors of a statement that InfluxDB answers as a result; all others are answers of their own. */
const OF_STATEMENTS: ReadonlySet<string> = new Set([
  'invalid-input',
  'unprocessable',
  'not-found',
  'conflict',
  'forbidden',
  'limit-exceeded',
  'corrupt',
]);

export async function answerInfluxql(deps: InfluxqlDeps, request: InfluxqlRequest): Promise<AsyncIterable<Uint8Array>> {
  const nowNs = deps.now();
  const statements = parseInfluxql(request.query, nowNs);
  async function* results(): AsyncGenerator<Result> {
    for (const [number, statement] of statements.entries()) yield resultOf(deps, request, statement, number, nowNs);
  }
  // The first statement is worked off before the answer begins, so that most of what can go wrong has a status.
  const all = results();
  const first = await all.next();
  return request.chunkRows === null ? oneDocument(first, all) : documents(first, all);
}

async function* oneDocument(first: IteratorResult<Result>, others: AsyncGenerator<Result>): AsyncGenerator<Uint8Array> {
  yield Buffer.from('{"results":[');
  for (let next = first, isFirst = true; !next.done; next = await others.next(), isFirst = false) {
    if (!isFirst) yield Buffer.from(',');
    if (next.value.kind === 'json') yield Buffer.from(JSON.stringify(next.value.json));
    else yield* next.value.bytes;
  }
  yield Buffer.from(']}\n');
}

async function* documents(first: IteratorResult<Result>, others: AsyncGenerator<Result>): AsyncGenerator<Uint8Array> {
  for (let next = first; !next.done; next = await others.next()) {
    if (next.value.kind === 'bytes') yield* next.value.bytes;
    else yield Buffer.from(`{"results":[${JSON.stringify(next.value.json)}]}\n`);
  }
}

type Result =
  | { readonly kind: 'json'; readonly json: object }
  /** JSON that is complete with its `statement_id`. */
  | { readonly kind: 'bytes'; readonly bytes: AsyncIterable<Uint8Array> };

async function resultOf(
  deps: InfluxqlDeps,
  request: InfluxqlRequest,
  statement: InfluxStatement,
  number: number,
  nowNs: bigint,
): Promise<Result> {
  try {
    if (statement.kind === 'select') {
      const project = await projectOf(deps, request, statement.database);
      const bytes = await answerSelect(deps, request, statement, { project, number, nowNs });
      return bytes ? { kind: 'bytes', bytes } : shown(number, []);
    }
    return shown(number, await plainAnswer(deps, request, statement));
  } catch (error) {
    if (!isVarveError(error) || !OF_STATEMENTS.has(error.code)) throw error;
    return { kind: 'json', json: { statement_id: number, error: error.message } };
  }
}

function shown(number: number, series: readonly ShownSeries[]): Result {
  return { kind: 'json', json: { statement_id: number, ...(series.length > 0 && { series }) } };
}

async function plainAnswer(
  deps: InfluxqlDeps,
  request: InfluxqlRequest,
  statement: Exclude<InfluxStatement, { kind: 'select' }>,
): Promise<ShownSeries[]> {
  const { access, searches } = deps;
  const { principal } = request;
  switch (statement.kind) {
    case 'databases': {
      const projects = await access.listProjects(principal);
      return [{ name: 'databases', columns: ['name'], values: projects.map(({ name }) => [name]) }];
    }
    case 'retention-policies': {
      await projectOf(deps, request, statement.database);
      const columns = ['name', 'duration', 'shardGroupDuration', 'replicaN', 'default'];
      return [{ columns, values: [['autogen', '0s', '168h0m0s', 1, true]] }];
    }
    case 'create-database': {
      const projects = await access.listProjects(principal);
      if (projects.some(({ name }) => nameKey(name) === nameKey(statement.name))) return [];
      if (!principal.scopes.includes('admin') || principal.projects !== null) {
        throw new VarveError('forbidden', 'CREATE DATABASE needs a token with the scope admin for all projects');
      }
      await access.createProject(statement.name);
      return [];
    }
    default:
      return answerShow(searches, principal, await projectOf(deps, request, statement.database), statement);
  }
}

/** @throws invalid-input, not-found in the words of InfluxDB, which clients look for */
async function projectOf(deps: InfluxqlDeps, request: InfluxqlRequest, named: string | null): Promise<string> {
  const wanted = named ?? request.database;
  if (wanted === null) throw new VarveError('invalid-input', 'database name required');
  const projects = await deps.access.listProjects(request.principal);
  const found = projects.find(({ name }) => nameKey(name) === nameKey(wanted));
  if (!found) throw new VarveError('not-found', `database not found: ${wanted}`);
  return found.name;
}
