/** `varve push`: a store-and-forward agent, or what its spool holds. */
import { resolve } from 'node:path';
import { clientConfigOf, type PlaceOptions } from '../client/command-options.ts';
import { tokenOf } from '../client/connect.ts';
import { writeOut } from '../process/standard-output.ts';
import { runAgent } from '../push/push-agent.ts';
import { limitBytes, agentName, pushSourceOf, type PushCommand } from '../push/push-options.ts';
import { readStatus, statusText } from '../push/push-status.ts';

/**
 * @returns the exit code
 * @throws invalid-input naming the option that is wrong; unauthorized if there is no token to begin with
 */
export async function push(command: PushCommand & PlaceOptions): Promise<number> {
  const folder = resolve(command.spool);
  if (command.status === true) {
    const status = await readStatus(folder);
    await writeOut(command.json === true ? `${JSON.stringify(status)}\n` : statusText(status));
    return 0;
  }
  const source = pushSourceOf(command);
  const config = clientConfigOf(command);
  tokenOf(config);
  return runAgent({
    folder,
    source,
    name: agentName(command),
    project: command.project,
    mostBytes: limitBytes(command),
    givesUp: command.giveUp ?? false,
    url: config.serviceUrl,
    // Asked again each time: the file may have a new one.
    token: () => tokenOf(config),
  });
}
