#!/usr/bin/env node
/** The command line. What a command needs is loaded when it runs: `varve ls` must not wait for Postgres and HDF5 code. */
import { Command, Option } from 'commander';
import { isVarveError } from '../core/errors.ts';
import type { CatCommand } from './cat-command.ts';
import type { CompactCommand } from './compact-command.ts';
import { readConfig } from './config.ts';
import type { ImportCommand } from './import-command.ts';
import type { ListCommand } from './list-command.ts';
import type { RebuildShardCommand } from './rebuild-command.ts';
import { endWithReader } from './standard-output.ts';
import type { VerifyCommand } from './verify-command.ts';
import { VERSION } from './version.ts';
import { keepYoungHeapSmall } from './young-heap.ts';

const program = new Command('varve')
  .description('Time series for laboratories: metadata in Postgres, samples in HDF5 shards, one REST API.')
  .version(VERSION)
  .showHelpAfterError();

program
  .command('serve')
  .description('run the service')
  .option('--no-worker', 'answer requests only; another process drains')
  .action(async ({ worker }: { worker: boolean }) => {
    keepYoungHeapSmall();
    const { serve } = await import('./serve.ts');
    const { openLog } = await import('./log.ts');
    const { untilStopped } = await import('./until-stopped.ts');
    const config = readConfig();
    const running = await serve(config, openLog(config.logLevel), { worker });
    process.stdout.write(`varve is ready at ${running.url}\n`);
    await untilStopped(running.close);
  });

program
  .command('worker')
  .description('drain acknowledged writes into shards, and nothing else')
  .action(async () => {
    keepYoungHeapSmall();
    const { work } = await import('./serve.ts');
    const { openLog } = await import('./log.ts');
    const { untilStopped } = await import('./until-stopped.ts');
    const config = readConfig();
    const running = await work(config, openLog(config.logLevel));
    process.stdout.write('varve worker is ready\n');
    await untilStopped(running.close);
  });

program
  .command('demo')
  .description('start a service, fill it with synthetic recordings, and show what can be done with them')
  .option('--exit', 'end after the tour')
  .action(async (options: { exit?: boolean }) => {
    const { demo } = await import('./demo.ts');
    await demo(readConfig({ VARVE_LOG: 'warn' }), options);
  });

program
  .command('import')
  .description('bring recordings into the service: WFDB records, CSV tables, .npy arrays, OpenSignals HDF5 files')
  .argument('<file...>')
  .option('--project <name>', 'project of the series', 'default')
  .option('--name <name>', 'name of the recording (default: that of the file)')
  .option('--tag <key=value>', 'add a tag to every series; can be repeated', several, [])
  .addOption(
    new Option('--format <format>', 'instead of what the file name says').choices([
      'wfdb',
      'csv',
      'npy',
      'opensignals',
    ]),
  )
  .option('--rate <hz>', '.npy: samples a second, as 360, 20.03 or 30000/1001')
  .option('--start <time>', '.npy: time of the first row, as RFC 3339 or integer nanoseconds')
  .option('--time-column <name>', 'CSV: the column of times')
  .option('--value-column <name>', 'CSV: a column that becomes a channel; can be repeated', several)
  .option('--by <column>', 'CSV: a column whose values make series of their own; can be repeated', several)
  .option('--delimiter <character>', 'CSV: between fields (default: a comma)')
  .option('--dry-run', 'show the series that would be created, and create nothing')
  .option('--json', 'print a report for programs')
  .addHelpText(
    'after',
    '\nAn import that was interrupted goes on when the same command is given again; a second one adds nothing.',
  )
  .action(async (files: string[], command: ImportCommand) => {
    const { importFiles } = await import('./import-command.ts');
    await importFiles(readConfig(), files, command);
  });

program
  .command('ls')
  .description('list series')
  .option('--project <name>', 'only those of a project')
  .option('--json', 'print all their metadata, as a JSON array')
  .action(async (command: ListCommand) => {
    const { listSeries } = await import('./list-command.ts');
    await listSeries(readConfig(), [], command);
  });

program
  .command('search')
  .description('find series by their tags; all conditions must hold; without one, all series')
  .argument(
    '[condition...]',
    "'species=mouse', 'age_days>=60', 'strain!=B6', 'subject[prefix]=m-1'; 'species': has the tag; '!species': has not",
  )
  .option('--where <json>', 'a tree of and, or and not in place of conditions, as POST /v1/series/search takes it')
  .option('--sort <keys>', "fields or tag.<key>, with commas; '-last_time': the latest first")
  .option('--facets <names>', 'count the values of tags, or of field.<name>, with commas')
  .option('--limit <number>', 'at most so many series')
  .option('--project <name>', 'only those of a project')
  .option('--unit <unit>', 'only those in a unit')
  .addOption(new Option('--kind <kind>', 'only those sampled so').choices(['regular', 'irregular']))
  .option('--json', 'print all their metadata, as a JSON array')
  .action(async (conditions: string[], command: ListCommand) => {
    const { listSeries } = await import('./list-command.ts');
    await listSeries(readConfig(), conditions, command);
  });

program
  .command('cat')
  .description('print samples of a series')
  .argument('<series>', 'name or id')
  .option('--project <name>', 'project of the name', 'default')
  .option('--start <time>', 'first time, inclusive: RFC 3339 or integer nanoseconds')
  .option('--end <time>', 'last time, exclusive')
  .option('--rows <a:b>', 'rows instead of times, as a Python slice')
  .option('--channels <labels>', 'labels or numbers, with commas')
  .option('--channel <label>', 'a label as it is, commas and all; can be repeated', several, [])
  .option('--physical', 'scale and offset applied, as float64')
  .addOption(
    new Option('--format <format>', "default: what --out's extension says, else csv").choices([
      'csv',
      'json',
      'ndjson',
      'npy',
      'octet',
      'arrow',
      'arrow-stream',
      'hdf5',
    ]),
  )
  .option('--out <file>', 'write into a file')
  .action(async (series: string, command: CatCommand) => {
    const { catSamples } = await import('./cat-command.ts');
    await catSamples(readConfig(), series, command);
  });

program
  .command('verify')
  .description(
    'check every stored byte, its HDF5 structure and the catalog against each other; exit code 1 if something is wrong',
  )
  .option('--shard <id>', 'only this shard')
  .option('--series <name>', 'only the series of this name, or id')
  .option('--json', 'print a report for programs')
  .action(async (command: VerifyCommand) => {
    const { verifyData } = await import('./verify-command.ts');
    if (!(await verifyData(readConfig(), command))) process.exitCode = 1;
  });

program
  .command('rebuild-catalog')
  .description('make a lost catalog again from the shards, in an empty database; exit code 1 if something is missing')
  .option('--json', 'print a report for programs')
  .action(async (options: { json?: boolean }) => {
    const { rebuildCatalogOf } = await import('./rebuild-command.ts');
    if (!(await rebuildCatalogOf(readConfig(), options))) process.exitCode = 1;
  });

program
  .command('rebuild-shard')
  .description('write a shard anew whose HDF5 structure is damaged; the old file is kept beside it, as .damaged')
  .argument('<shard>', 'id: the name of its file up to the number')
  .option('--skip-corrupt', 'leave rows that do not match their checksum in the old file, instead of refusing')
  .option('--remove', 'remove the old file')
  .option('--json', 'print a report for programs')
  .action(async (shard: string, command: RebuildShardCommand) => {
    const { rebuildShardOf } = await import('./rebuild-command.ts');
    if (!(await rebuildShardOf(readConfig(), shard, command))) process.exitCode = 1;
  });

program
  .command('compact')
  .description(
    'seal and compact shards, now: compress what takes no more appends, drop what was removed, merge small ones',
  )
  .option('--plan', 'only say what would be done')
  .option('--all', 'whatever its age and size')
  .option('--lane <id>', 'only the shards of this lane')
  .option('--json', 'print a report for programs')
  .action(async (command: CompactCommand) => {
    const { compactData } = await import('./compact-command.ts');
    await compactData(readConfig(), command);
  });

program
  .command('recover')
  .description('make the catalog and the files agree, now; exit code 1 if a shard is lost or a repair failed')
  .option('--dry-run', 'only say what is wrong')
  .action(async (options: { dryRun?: boolean }) => {
    const { recoverData } = await import('./recover-command.ts');
    if (!(await recoverData(readConfig(), options))) process.exitCode = 1;
  });

function several(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

endWithReader();
try {
  await program.parseAsync();
} catch (error) {
  const { message, stack, code } = error as NodeJS.ErrnoException;
  // What the system refuses (a file that is not there, a port that is taken) is said in its message; anything else is ours to find.
  const isExpected = isVarveError(error) || typeof code === 'string';
  process.stderr.write(`varve: ${isExpected ? message : (stack ?? message)}\n`);
  process.exitCode = 1;
}
