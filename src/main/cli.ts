#!/usr/bin/env node
/** The command line. What a command needs is loaded when it runs: `varve ls` must not wait for Postgres and HDF5 code. */
import { EXPORT_FORMATS } from '../flows/export/export-service.ts';
import { RECORDING_FORMATS } from '../flows/import/recording-formats.ts';
import { Command, InvalidArgumentError, Option } from 'commander';
import { isVarveError, messageOf } from '../core/errors.ts';
import type { ExportCommand } from './commands/export-command.ts';
import type { CatCommand } from './commands/cat-command.ts';
import type { CompactCommand } from './commands/compact-command.ts';
import { clientConfigOf, configOf, type PlaceOptions } from './client/command-options.ts';
import { readConfig } from './process/config.ts';
import type { DeleteCommand } from './commands/delete-command.ts';
import type { FlushCommand } from './commands/flush-command.ts';
import type { ImportCommand } from './commands/import-command.ts';
import type { ListCommand } from './commands/list-command.ts';
import type { PushCommand } from './push/push-options.ts';
import type { TagCommand } from './commands/tag-command.ts';
import type { NewTokenCommand } from './commands/token-command.ts';
import type { RebuildShardCommand } from './commands/rebuild-command.ts';
import type { RecoverCommand } from './commands/recover-command.ts';
import { endWithReader } from './process/standard-output.ts';
import type { VerifyCommand } from './commands/verify-command.ts';
import { VERSION } from './process/version.ts';
import { keepYoungHeapSmall } from './process/young-heap.ts';

const program = new Command('varve')
  .description('Time series for laboratories: metadata in Postgres, samples in HDF5 shards, one REST API.')
  .version(VERSION)
  // Options behind the name of a command are its own: `varve tag mouse-12 -V` is about a tag.
  .enablePositionalOptions()
  .showHelpAfterError('(varve --help lists the commands, varve <command> --help its options)')
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'varve:')) });

/** Where the data lie, for commands that open them. */
function withData(command: Command): Command {
  return command.option('--data <folder>', 'data folder (default: VARVE_DATA, else ./varve-data)');
}

/** Where to listen. */
function withAddress(command: Command): Command {
  return withData(command)
    .option('--port <number>', 'port to listen on; 0: any free one (default: VARVE_PORT, else 7424)')
    .option('--host <address>', 'address to listen on (default: VARVE_HOST, else 127.0.0.1)');
}

/** Which service to ask, for commands that talk to one. */
function withService(command: Command): Command {
  const options = [
    ['--url <url>', 'the service (default: VARVE_URL, else this machine)'],
    ['--port <number>', 'its port on this machine (default: VARVE_PORT, else 7424)'],
    ['--data <folder>', 'its data folder, where its token lies (default: VARVE_DATA, else ./varve-data)'],
    ['--token <token>', 'in place of that token (default: VARVE_TOKEN)'],
  ] as const;
  for (const [flags, text] of options) command.addOption(new Option(flags, text).helpGroup('Which service:'));
  return command;
}

const PRECISIONS = ['ns', 'us', 'ms', 's', 'm', 'h'];

program.commandsGroup('Run:');

withAddress(program.command('serve'))
  .description('run the service')
  .option('--no-worker', 'answer requests only; another process flushes and compacts')
  .action(async ({ worker, ...place }: PlaceOptions & { worker: boolean }) => {
    keepYoungHeapSmall();
    const { serve } = await import('./serve.ts');
    const { openLog } = await import('./process/log.ts');
    const { untilStopped } = await import('./process/until-stopped.ts');
    const { readyText } = await import('./process/ready-text.ts');
    const config = configOf(place);
    const running = await serve(config, openLog(config.logLevel), { worker });
    process.stdout.write(readyText(running.url, config, running.signInLink()));
    await untilStopped(running.close);
  });

withData(program.command('worker'))
  .description('flush and compact, and nothing else')
  .action(async (place: PlaceOptions) => {
    keepYoungHeapSmall();
    const { work } = await import('./serve.ts');
    const { openLog } = await import('./process/log.ts');
    const { untilStopped } = await import('./process/until-stopped.ts');
    const config = configOf(place);
    const running = await work(config, openLog(config.logLevel));
    process.stdout.write('varve worker is ready\n');
    await untilStopped(running.close);
  });

withAddress(program.command('demo'))
  .description('start a service, fill it with synthetic recordings, and show what can be done with them')
  .option('--exit', 'end after the tour')
  .action(async (options: PlaceOptions & { exit?: boolean }) => {
    const { demo } = await import('./demo.ts');
    await demo(configOf(options, { VARVE_LOG: 'warn' }), options);
  });

program.commandsGroup('Series:');

withService(program.command('import'))
  .description(
    'bring recordings into the service: WFDB, EDF, BDF, ABF, BrainVision, SpikeGLX, Open Ephys, XDF, BIOPAC, HDF5 (NWB, SNIRF …), NumPy, CSV, xlsx, Parquet, Arrow',
  )
  .argument('<path...>', 'files, folders, or patterns such as data/**/*.csv')
  .option('--project <name>', 'project of the series', 'default')
  .option('--into <recording>', 'id or name of a recording that is there: add to it')
  .option('--watch', 'go on, and import files as they come, once they have rested for two seconds')
  .option('--name <name>', 'name of the recording (default: that of the file)')
  .option('--tag <key=value>', 'add a tag to every series; can be repeated', several, [])
  .addOption(
    new Option('--format <format>', 'instead of what content and name of the file say').choices(RECORDING_FORMATS),
  )
  .option('--rate <hz>', '.npy, .npz, HDF5: samples a second, as 360, 20.03 or 30000/1001')
  .option(
    '--start <time>',
    'time of the first sample, or that from which elapsed times count, if the file does not say it, or says it wrongly',
  )
  .option('--map <file>', 'JSON with any of these options, and what is known of columns')
  .option(
    '--time-column <name>',
    'tables: the column of times, by name or number from 1; HDF5: the dataset, or column, of times',
  )
  .option(
    '--dataset <path>',
    'HDF5: a dataset that is meant, in place of those that are found; can be repeated',
    several,
  )
  .option('--value-column <name>', 'tables: a column that becomes a channel; can be repeated', several)
  .option('--by <column>', 'tables: a column whose values make series of their own; can be repeated', several)
  .option('--tz <zone>', 'zone of times that state none, such as Europe/Berlin or +01:00 (default: UTC)')
  .option('--date-format <format>', 'DMY, MDY, YMD, or a format such as %d/%m/%Y %H:%M:%S or dd.MM.yyyy HH:mm')
  .addOption(
    new Option('--epoch <unit>', 'what times that are numbers count since 1970; excel: days').choices([
      's',
      'ms',
      'us',
      'ns',
      'excel',
    ]),
  )
  .addOption(
    new Option('--elapsed <unit>', 'what times count since the start; clock: h:mm:ss').choices([
      'ns',
      'us',
      'ms',
      's',
      'min',
      'h',
      'd',
      'clock',
    ]),
  )
  .option('--delimiter <character>', 'CSV: between fields, as it is or tab, comma, semicolon, pipe, space')
  .addOption(new Option('--decimal <character>', 'what stands before the fraction of a number').choices(['.', ',']))
  .option('--header <header>', 'none, the number of the line, or names with commas')
  .addOption(new Option('--orient <how>', 'each row is a time (rows), or a channel').choices(['rows', 'channels']))
  .option('--dtype <dtype>', 'of all channels of a table, in place of the one that is found')
  .option('--sheet <name>', 'the sheet of a workbook, by name or by number from 1')
  .option('--dry-run', 'show the series that would be created, and create nothing')
  .option('--json', 'print a report for programs')
  .addHelpText(
    'after',
    '\nAn import that was interrupted goes on when the same command is given again; a second one adds nothing.\nExit code: 0 if all was imported or there, 1 if a file was refused.',
  )
  .action(async (files: string[], command: ImportCommand & PlaceOptions) => {
    const { importPaths } = await import('./commands/import-command.ts');
    if (!(await importPaths(clientConfigOf(command), files, command))) process.exitCode = 1;
  });

withService(program.command('push'))
  .description('spool what instruments say, and deliver it exactly once: from standard input, a folder, or MQTT')
  .option('--project <name>', 'project of the series', 'default')
  .option('--spool <folder>', 'where is kept what is not delivered yet; one agent each', 'varve-spool')
  .option('--limit <MiB>', 'most of the disk for it; what comes then has to wait', '1024')
  .option('--name <name>', 'begins the name of its source (default: that of this machine)')
  .option('--give-up', 'end where it would wait: exit code 3 if the token is refused, 4 if the spool is full')
  .addOption(
    new Option('--format <format>', 'line protocol, items of POST /v1/samples a line, or JSON (--mqtt)').choices([
      'lines',
      'items',
      'json',
    ]),
  )
  .addOption(
    new Option('--precision <unit>', 'of times without a point of their own').choices(PRECISIONS).default('ns'),
  )
  .option('--status', 'only say what the spool holds')
  .option('--json', 'with --status: for programs')
  .addOption(new Option('--watch <folder>', 'take the files that come into a folder').helpGroup('A folder:'))
  .addOption(
    new Option('--rest <seconds>', 'a file is complete when it has not changed for so long')
      .default('2')
      .helpGroup('A folder:'),
  )
  .addOption(new Option('--keep', 'leave delivered files where they are, and take what grows').helpGroup('A folder:'))
  .addOption(new Option('--once', 'end when all that is there is delivered').helpGroup('A folder:'))
  .addOption(new Option('--mqtt <url>', 'take messages of a broker: mqtt://broker:1883').helpGroup('MQTT:'))
  .addOption(
    new Option('--topic <template>', "'lab/{room}/{measurement}': levels that become tags; can be repeated")
      .argParser(several)
      .helpGroup('MQTT:'),
  )
  .addOption(
    new Option('--field <name=path>', "'temperature=$.temp', 'count:int=$.n'; can be repeated (default: all)")
      .argParser(several)
      .helpGroup('MQTT:'),
  )
  .addOption(new Option('--time <path>', 'where the time is (default: that of the arrival)').helpGroup('MQTT:'))
  .addOption(new Option('--measurement <name>', 'where the topic does not say it').default('mqtt').helpGroup('MQTT:'))
  .addOption(new Option('--client-id <id>', 'by which the broker knows this agent').helpGroup('MQTT:'))
  .action(async (command: PushCommand & PlaceOptions) => {
    const { push } = await import('./commands/push-command.ts');
    process.exitCode = await push(command);
  });

withService(program.command('ls'))
  .description('list series')
  .option('--project <name>', 'only those of a project')
  .option('--recording <recording>', 'only those of a recording, by its id or name')
  .option('--json', 'print all their metadata, as a JSON array')
  .action(async (command: ListCommand & PlaceOptions) => {
    const { listSeries } = await import('./commands/list-command.ts');
    await listSeries(clientConfigOf(command), [], command);
  });

withService(program.command('search'))
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
  .option('--recording <recording>', 'only those of a recording, by its id or name')
  .option('--unit <unit>', 'only those in a unit')
  .addOption(new Option('--kind <kind>', 'only those sampled so').choices(['regular', 'irregular']))
  .option('--json', 'print all their metadata, as a JSON array')
  .action(async (conditions: string[], command: ListCommand & PlaceOptions) => {
    const { listSeries } = await import('./commands/list-command.ts');
    await listSeries(clientConfigOf(command), conditions, command);
  });

withService(program.command('export'))
  .description('make a file of series: EDF+, WFDB, or one file for each')
  .argument('[series...]', 'names or ids')
  .addOption(
    new Option('--format <format>', 'edf and wfdb are one recording of all series; others a file for each')
      .choices(EXPORT_FORMATS)
      .makeOptionMandatory(),
  )
  .option('--project <name>', 'project of the names', 'default')
  .option('--where <json>', 'what a search finds, instead of names: an expression of POST /v1/series/search')
  .option('--start <time>', 'first time, inclusive: RFC 3339 or integer nanoseconds')
  .option('--end <time>', 'last time, exclusive')
  .option('--physical', 'scale and offset applied, as float64')
  .option('--out <file>', 'file to write; default: varve-export and its extension, here')
  .option('--force', 'write over a file that is there')
  .action(async (series: string[], command: ExportCommand & PlaceOptions) => {
    const { exportSeries } = await import('./commands/export-command.ts');
    await exportSeries(clientConfigOf(command), series, command);
  });

withService(program.command('cat'))
  .description('print samples of a series')
  .argument('<series>', 'name or id')
  .option('--project <name>', 'project of the name', 'default')
  .option('--start <time>', 'first time, inclusive: RFC 3339 or integer nanoseconds')
  .option('--end <time>', 'last time, exclusive')
  .option('--rows <a:b>', 'rows instead of times, as a Python slice')
  .option('--channels <labels>', 'labels or numbers, with commas')
  .option('--channel <label>', 'a label as it is, commas and all; can be repeated', several, [])
  .option('--physical', 'scale and offset applied, as float64')
  .option('--unit <code>', 'physical values in this unit, as UCUM writes it, such as mV')
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
  .action(async (series: string, command: CatCommand & PlaceOptions) => {
    const { catSamples } = await import('./commands/cat-command.ts');
    await catSamples(clientConfigOf(command), series, command);
  });

withService(program.command('tag'))
  .description('show, set and remove the tags of a series')
  .argument('<series>', 'name or id')
  .argument(
    '[change...]',
    "'species=mouse', 'age_days=61', 'depth={\"value\":300,\"unit\":\"um\"}'; '-species' removes one",
  )
  .option('--remove <key>', 'remove a tag; can be repeated', several)
  .option('--project <name>', 'project of the name', 'default')
  .option('--json', 'print the tags as a JSON object')
  // What begins with a minus is a tag to be removed.
  .allowUnknownOption()
  .helpOption('--help', 'display help for command')
  .action(async (series: string, changes: string[], command: TagCommand & PlaceOptions) => {
    const { tagSeries } = await import('./commands/tag-command.ts');
    await tagSeries(clientConfigOf(command), series, changes, command);
  });

withService(program.command('rm'))
  .alias('delete')
  .description('delete series; `varve undelete` brings them back')
  .argument('<series...>', 'names or ids')
  .option('--project <name>', 'project of the names', 'default')
  .action(async (series: string[], command: DeleteCommand & PlaceOptions) => {
    const { deleteNamedSeries } = await import('./commands/delete-command.ts');
    await deleteNamedSeries(clientConfigOf(command), series, command);
  });

withService(program.command('undelete'))
  .alias('restore')
  .description('bring deleted series back, within seven days')
  .argument('<series...>', 'ids, or the names that they had: of several, the one that was deleted last')
  .option('--project <name>', 'project of the names', 'default')
  .action(async (series: string[], command: DeleteCommand & PlaceOptions) => {
    const { undeleteNamedSeries } = await import('./commands/delete-command.ts');
    await undeleteNamedSeries(clientConfigOf(command), series, command);
  });

program.commandsGroup('Access:');

const SCOPES = ['read', 'write', 'subjects', 'admin'];

const token = program
  .command('token')
  .description('who may do what: create, list and revoke tokens, or recover a lost one');

withService(token.command('create'))
  .description('create a token and print it, this once')
  .argument('<name>', 'what it is for')
  .addOption(
    new Option('--scope <scope>', 'what it may do; can be repeated (default: read)')
      .choices(SCOPES)
      .argParser((value: string, before?: string[]) => several(oneOf(SCOPES, value), before)),
  )
  .option('--project <name>', 'limit it to a project; can be repeated (default: all)', several)
  .action(async (name: string, command: NewTokenCommand & PlaceOptions) => {
    const { createToken } = await import('./commands/token-command.ts');
    await createToken(clientConfigOf(command), name, command);
  });

withService(token.command('list'))
  .alias('ls')
  .description('list the tokens that are valid; the tokens themselves are not kept')
  .option('--json', 'print a JSON array')
  .action(async (command: PlaceOptions & { json?: boolean }) => {
    const { printTokens } = await import('./commands/token-command.ts');
    await printTokens(clientConfigOf(command), command);
  });

withService(token.command('revoke'))
  .description('make a token invalid')
  .argument('<token>', 'id, or name if only one has it')
  .action(async (named: string, command: PlaceOptions) => {
    const { revokeNamedToken } = await import('./commands/token-command.ts');
    await revokeNamedToken(clientConfigOf(command), named);
  });

withData(token.command('recover'))
  .description('make a new admin token when none is left, with or without a running service, and print it')
  .action(async (place: PlaceOptions) => {
    const { recoverToken } = await import('./commands/recover-token.ts');
    await recoverToken(configOf(place));
  });

withData(program.command('psql-url'))
  .description('print the URL of the catalog, with its password: psql "$(varve psql-url)"')
  .action(async (place: PlaceOptions) => {
    const { postgresUrl } = await import('./postgres/postgres-in-use.ts');
    process.stdout.write(`${await postgresUrl(configOf(place))}\n`);
  });

program.commandsGroup('Look after the data:');

withData(program.command('verify'))
  .description(
    'check every stored byte, its HDF5 structure and the catalog against each other; exit code 1 if something is wrong',
  )
  .option('--shard <id>', 'only this shard')
  .option('--series <name>', 'only the series of this name, or id')
  .option('--json', 'print a report for programs')
  .action(async ({ data, ...command }: VerifyCommand & PlaceOptions) => {
    const { verifyData } = await import('./commands/verify-command.ts');
    if (!(await verifyData(configOf({ data }), command))) process.exitCode = 1;
  });

withData(program.command('rebuild-catalog'))
  .description('make a lost catalog again from the shards, in an empty database; exit code 1 if something is missing')
  .option('--json', 'print a report for programs')
  .action(async (options: PlaceOptions & { json?: boolean }) => {
    const { rebuildCatalogOf } = await import('./commands/rebuild-command.ts');
    if (!(await rebuildCatalogOf(configOf(options), options))) process.exitCode = 1;
  });

withData(program.command('rebuild-shard'))
  .description('write a shard anew whose HDF5 structure is damaged')
  .argument('<shard>', 'id: the name of its file up to the number')
  .option('--skip-corrupt', 'leave rows that do not match their checksum in the old file, instead of refusing')
  .option('--json', 'print a report for programs')
  .action(async (shard: string, command: RebuildShardCommand & PlaceOptions) => {
    const { rebuildShardOf } = await import('./commands/rebuild-command.ts');
    if (!(await rebuildShardOf(configOf(command), shard, command))) process.exitCode = 1;
  });

withData(program.command('flush'))
  .description('move samples that were appended into HDF5 shards, now; without an option, where that is due')
  .option('--all', 'whatever their size and age')
  .option('--lane <id>', 'only those of this lane')
  .option('--json', 'print a report for programs')
  .action(async (command: PlaceOptions & FlushCommand) => {
    const { flushData } = await import('./commands/flush-command.ts');
    await flushData(configOf(command), command);
  });

withData(program.command('compact'))
  .description('compact shards, now: merge small ones, sort and compress, add summaries, drop what was removed')
  .option('--plan', 'only say what would be done')
  .option('--all', 'whatever its age and size')
  .option('--lane <id>', 'only the shards of this lane')
  .option('--json', 'print a report for programs')
  .action(async (command: CompactCommand & PlaceOptions) => {
    const { compactData } = await import('./commands/compact-command.ts');
    await compactData(configOf(command), command);
  });

withData(program.command('recover'))
  .description('make the catalog and the files agree, now; exit code 1 if samples cannot be read or a repair failed')
  .option('--dry-run', 'only say what is wrong')
  .option('--accept-loss', 'go on with files of another day than the catalog: what is missing counts as lost')
  .action(async (options: PlaceOptions & RecoverCommand) => {
    const { recoverData } = await import('./commands/recover-command.ts');
    if (!(await recoverData(configOf(options), options))) process.exitCode = 1;
  });

function several(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** What a parser of one's own has to check itself. */
function oneOf(choices: readonly string[], value: string): string {
  if (choices.includes(value)) return value;
  throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
}

endWithReader();
try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`varve: ${wordsOf(error)}\n`);
  process.exitCode = 1;
}

/** One sentence; the stack of a mistake of ours at the level debug alone. */
function wordsOf(error: unknown): string {
  const { stack, code } = error as NodeJS.ErrnoException;
  const said = messageOf(error);
  if (isVarveError(error) || typeof code === 'string') return said;
  return wantsStacks() ? (stack ?? said) : `${said} (this should not happen: VARVE_LOG=debug shows where)`;
}

function wantsStacks(): boolean {
  try {
    return readConfig().logLevel === 'debug';
  } catch {
    return false;
  }
}
