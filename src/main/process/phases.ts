/** Shutdown in named phases, each under a limit: what is slow is named, and never keeps the rest from closing. */
import type { Logger } from 'pino';

export interface Phase {
  readonly name: string;
  readonly limitMs: number;
  close(): Promise<void> | void;
}

/** Runs all phases in order. A phase that fails or takes too long is logged and left behind. */
export async function closeInPhases(phases: readonly Phase[], log: Logger): Promise<void> {
  for (const { name, limitMs, close } of phases) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), limitMs)));
    try {
      const result = await Promise.race([Promise.resolve(close()), late]);
      if (result === 'late') log.warn({ phase: name, limitMs }, 'shutdown phase took too long');
    } catch (error) {
      log.warn({ phase: name, err: error }, 'shutdown phase failed');
    } finally {
      clearTimeout(timer);
    }
  }
}
