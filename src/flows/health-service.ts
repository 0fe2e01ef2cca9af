/** Whether the service is alive and ready, and how it does. */

/** `restarting`: a part that belongs to this process has ended and is being started again. `failing`: that did not succeed yet. */
export type Liveness = 'ok' | 'restarting' | 'failing';

export interface HealthCheck {
  readonly ok: boolean;
  readonly degraded?: true;
  /** What is wrong, for whoever asks. */
  readonly message?: string;
  /** For the log alone. */
  readonly detail?: string;
}

export interface HealthService {
  alive(): Liveness;
  /** Tries Postgres, queue and storage, each under a time limit. A part that is degraded serves, but not everything. */
  ready(): Promise<{ ok: boolean; checks: Record<string, HealthCheck> }>;
  /** Prometheus text. */
  metrics(): Promise<{ contentType: string; body: string }>;
}
