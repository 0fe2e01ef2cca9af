/** How Postgres would run a search: the plan in short, and the number of rows it expects. */
import { sql, type RawBuilder } from 'kysely';
import type { DatabaseTransaction } from '../database.ts';
import { oneRow } from '../one-row.ts';

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Plan Rows': number;
  readonly 'Total Cost': number;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Join Type'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** How many rows the planner expects, by its statistics. */
export async function estimateRows(trx: DatabaseTransaction, statement: RawBuilder<unknown>): Promise<number> {
  return (await planOf(trx, statement))['Plan Rows'];
}

/**
 * Describes a plan, one step on each line, indented under the step it serves.
 * @param withNumbers how many rows are expected: a step may go through series of all projects
 */
export async function describePlan(
  trx: DatabaseTransaction,
  statement: RawBuilder<unknown>,
  withNumbers: boolean,
): Promise<string[]> {
  return [...lines(await planOf(trx, statement), 0, withNumbers)];
}

async function planOf(trx: DatabaseTransaction, statement: RawBuilder<unknown>): Promise<PlanNode> {
  const { rows } = await sql<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>`explain (format json) ${statement}`.execute(trx);
  return oneRow(oneRow(rows)['QUERY PLAN']).Plan;
}

function* lines(node: PlanNode, depth: number, withNumbers: boolean): Generator<string> {
  const on = node['Index Name'] ?? node['Relation Name'];
  const join = node['Join Type'] === undefined || node['Join Type'] === 'Inner' ? '' : ` ${node['Join Type']}`;
  const rows = withNumbers ? ` (${node['Plan Rows']} rows, cost ${Math.round(node['Total Cost'])})` : '';
  yield `${'  '.repeat(depth)}${node['Node Type']}${join}${on === undefined ? '' : ` on ${on}`}${rows}`;
  for (const inner of node.Plans ?? []) yield* lines(inner, depth + 1, withNumbers);
}
