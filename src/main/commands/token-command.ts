/** `varve token create | list | revoke`: who may do what, asked of a running service. */
import { VarveError } from '../../core/errors.ts';
import type { Scope } from '../../flows/principal.ts';
import { isUuid } from '../../http/wire/scalars.ts';
import type { TokenAnswer, VarveClient } from '../client/client.ts';
import type { Config } from '../process/config.ts';
import { connect } from '../client/connect.ts';
import { writeOut } from '../process/standard-output.ts';
import { tableLines, type TextColumn } from './text-table.ts';

export interface NewTokenCommand {
  /** Default: read. */
  readonly scope?: readonly Scope[];
  /** Default: all. */
  readonly project?: readonly string[];
}

/** The token alone goes to standard output, so that it can be sent into a file. */
export async function createToken(config: Config, name: string, { scope, project }: NewTokenCommand): Promise<void> {
  const scopes: readonly Scope[] = scope ?? ['read'];
  const wanted = { name, scopes: [...new Set(scopes)], projects: project ? [...project] : null };
  const { token, id } = await connect(config).createToken(wanted);
  process.stderr.write(`varve: this is shown once; it is revoked with: varve token revoke ${id}\n`);
  await writeOut(`${token}\n`);
}

export async function printTokens(config: Config, { json }: { json?: boolean }): Promise<void> {
  const client = connect(config);
  const tokens = await client.listTokens();
  if (json) return writeOut(`${JSON.stringify(tokens, null, 2)}\n`);
  const names = new Map((await client.listProjects()).map(({ id, name }) => [id, name]));
  const columns: TextColumn<TokenAnswer>[] = [
    { title: 'NAME', text: ({ name }) => name },
    { title: 'SCOPES', text: ({ scopes }) => scopes.join(',') },
    { title: 'PROJECTS', text: ({ project_ids }) => project_ids?.map((id) => names.get(id) ?? id).join(',') ?? 'all' },
    { title: 'CREATED', text: ({ created_at }) => created_at },
    { title: 'ID', text: ({ id }) => id },
  ];
  for await (const line of tableLines(columns, tokens)) await writeOut(`${line}\n`);
  return undefined;
}

/** @param named by id, or by a name that only one of them has */
export async function revokeNamedToken(config: Config, named: string): Promise<void> {
  const client = connect(config);
  const { id, name } = isUuid(named) ? { id: named, name: named } : await tokenNamed(client, named);
  await client.revokeToken(id);
  await writeOut(`revoked ${name}\n`);
}

async function tokenNamed(client: VarveClient, name: string): Promise<TokenAnswer> {
  const [found, ...others] = (await client.listTokens()).filter((token) => token.name === name);
  if (found === undefined) throw new VarveError('not-found', `there is no token named ${name}`);
  if (others.length > 0) {
    const ids = [found, ...others].map(({ id }) => id).join(', ');
    throw new VarveError('conflict', `several tokens are named ${name}: revoke one by its id (${ids})`);
  }
  return found;
}
