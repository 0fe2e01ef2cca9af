/** `varve push`: what comes is spooled, and what is spooled is delivered, side by side. */
import { isVarveError, messageOf } from '../../core/errors.ts';
import { Delivery } from './delivery.ts';
import { FolderSource } from './folder-source.ts';
import { EXIT_CODES, GiveUp } from './give-up.ts';
import type { PushSource } from './push-options.ts';
import { Speaker } from './speaker.ts';
import { Spool, type SpoolOptions } from './push-spool.ts';
import { takeStdin } from './stdin-source.ts';

export interface PushAgent extends Omit<SpoolOptions, 'speaker'> {
  readonly url: string;
  readonly token: () => string;
  readonly source: PushSource;
}

/**
 * Runs until all is delivered and nothing more comes, or until a signal stops it.
 * @returns the exit code: 0, or what {@link EXIT_CODES} says
 * @throws what keeps it from beginning; what no waiting helps with
 */
export async function runAgent(agent: PushAgent): Promise<number> {
  const speaker = new Speaker();
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const spool = await Spool.open({ ...agent, speaker });
  try {
    return await deliver(agent, spool, speaker, stop);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
    await spool.close();
  }
}

async function deliver(agent: PushAgent, spool: Spool, speaker: Speaker, stop: AbortController): Promise<number> {
  const { source, url, token, project, givesUp } = agent;
  const { queue, state, deadLetters } = spool;
  const files = source.kind === 'folder' ? await FolderSource.open(spool, source, speaker) : null;
  let isOver = false;
  const delivery = new Delivery({
    queue,
    state,
    deadLetters,
    target: { url, token, project, source: state.source },
    onWait({ kind, reason, isRefusal }, held) {
      if (isRefusal && givesUp) throw new GiveUp(EXIT_CODES.tokenRefused, `${reason}: ${held} records are held`);
      const what = isRefusal
        ? 'the token is refused'
        : kind === 'hold'
          ? 'it cannot be delivered'
          : 'not delivered yet';
      const next = kind === 'hold' ? 'nothing is lost; it is tried again until that is mended' : 'trying again';
      speaker.repeat(`wait ${kind}`, `${what}: ${reason}; ${held} records are held: ${next}`);
    },
    onRefused: (refused) => spool.countRefused(refused.length, refused[0]?.reason ?? ''),
    onDelivered() {
      speaker.over('wait hold', 'delivering again');
      speaker.over('wait retry', 'delivering again');
    },
  });
  spool.onTaken = () => delivery.wake();
  const failures: unknown[] = [];
  // What ends one of the two ends the other, too.
  const guarded = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      failures.push(error);
      stop.abort();
    });
  const taking = guarded(take(agent, spool, files, speaker, stop.signal)).then(() => {
    isOver = true;
    delivery.wake();
  });
  await Promise.all([taking, guarded(delivery.run(() => isOver, stop.signal))]);
  await files?.moveDelivered();
  const held = queue.last - state.delivered;
  if (held > 0n) speaker.say(`ended; ${held} records are held in ${queue.folder}, and delivered by the next start`);
  return exitCodeOf(failures, spool, speaker);
}

async function take(
  { source }: PushAgent,
  spool: Spool,
  files: FolderSource | null,
  speaker: Speaker,
  stop: AbortSignal,
): Promise<void> {
  if (files && source.kind === 'folder') return files.run(source.isOnce, stop);
  if (source.kind === 'stdin') {
    await takeStdin(spool, process.stdin, source, speaker, stop);
    // Whoever writes has to be told that nobody reads any more.
    process.stdin.destroy();
  } else if (source.kind === 'mqtt') {
    // The client of MQTT is loaded by whoever needs it.
    const { takeMqtt } = await import('./mqtt-source.ts');
    await takeMqtt(spool, source, speaker, stop);
  }
}

function exitCodeOf(failures: readonly unknown[], spool: Spool, speaker: Speaker): number {
  const [failure] = failures;
  if (failure instanceof GiveUp) {
    speaker.say(failure.message);
    return failure.exitCode;
  }
  if (failure !== undefined) {
    if (!isVarveError(failure) && typeof (failure as NodeJS.ErrnoException).code !== 'string') throw failure;
    speaker.say(messageOf(failure));
    return 1;
  }
  return spool.refused > 0 ? EXIT_CODES.refusedLines : 0;
}
