// A failed call taken apart.
import * as grpc from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from './generated/google/rpc/error_details.js';
import { Status } from './generated/google/rpc/status.js';

/** What the program prints of a refusal. Act on `reason`, a stable word; `message` is for people. */
export interface Report {
  code: string;
  reason: string;
  message: string;
  fields: string[];
  retry_after_seconds: number | null;
}

export class Refusal extends Error {
  private constructor(readonly report: Report) {
    super(`${report.message} (${report.reason})`);
  }

  get code(): string {
    return this.report.code;
  }

  /**
   * Reads google.rpc.Status from the trailer grpc-status-details-bin. What did not come from a vecgate server (no connection, a
   * proxy, a deadline) has no details: its reason is the name of its code.
   */
  static of(error: unknown): Refusal {
    if (!isServiceError(error)) throw error;
    const code = grpc.status[error.code] ?? 'UNKNOWN';
    const report: Report = { code, reason: code, message: error.details, fields: [], retry_after_seconds: null };
    const [bytes] = error.metadata.get('grpc-status-details-bin');
    for (const { typeUrl, value } of Buffer.isBuffer(bytes) ? Status.decode(bytes).details : []) {
      READERS[typeUrl.slice(typeUrl.lastIndexOf('/') + 1)]?.(value, report);
    }
    return new Refusal(report);
  }

  /**
   * Whether the same may go through later: no server, one that ends (CANCELLED, as nobody here cancels), or one without room that
   * told when to come back.
   */
  get temporary(): boolean {
    if (this.code === 'CANCELLED') return true;
    return this.code === 'UNAVAILABLE' || (this.code === 'RESOURCE_EXHAUSTED' && this.report.retry_after_seconds !== null);
  }

  /**
   * How long to wait before the call is sent again; 0 if the server named no time. Up to a fifth is added, so that those who were
   * refused together do not come back together.
   */
  pauseMs(): number {
    return 1000 * (this.report.retry_after_seconds ?? 0) * (1 + 0.2 * Math.random());
  }
}

/** How each kind of detail is read. */
const READERS: Partial<Record<string, (value: Buffer, report: Report) => void>> = {
  'google.rpc.ErrorInfo': (value, report) => {
    report.reason = ErrorInfo.decode(value).reason;
  },
  'google.rpc.BadRequest': (value, report) => {
    report.fields = BadRequest.decode(value).fieldViolations.map(({ field }) => field);
  },
  'google.rpc.RetryInfo': (value, report) => {
    const { seconds, nanos } = RetryInfo.decode(value).retryDelay ?? { seconds: 0n, nanos: 0 };
    report.retry_after_seconds = Number(seconds) + nanos / 1e9;
  },
};

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error && 'metadata' in error;
}
