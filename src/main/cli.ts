#!/usr/bin/env node
/** The command line. */
import { Command } from 'commander';
import { isVarveError } from '../core/errors.ts';
import { readConfig } from './config.ts';
import { openLog } from './log.ts';
import { VERSION } from './version.ts';

const program = new Command('varve')
  .description('Time series for laboratories: metadata in Postgres, samples in HDF5 shards, one REST API.')
  .version(VERSION)
  .showHelpAfterError();

program
  .command('serve')
  .description('run the service')
  .option('--no-worker', 'answer requests only; another process drains')
  .action(async ({ worker }: { worker: boolean }) => {
    const { serve } = await import('./serve.ts');
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
    const { work } = await import('./serve.ts');
    const { untilStopped } = await import('./until-stopped.ts');
    const config = readConfig();
    const running = await work(config, openLog(config.logLevel));
    process.stdout.write('varve worker is ready\n');
    await untilStopped(running.close);
  });

try {
  await program.parseAsync();
} catch (error) {
  const { message, stack } = error as Error;
  process.stderr.write(isVarveError(error) ? `varve: ${message}\n` : `varve: ${stack ?? message}\n`);
  process.exitCode = 1;
}
