/** Shapes of api.md. Times are epoch ms on streams and ISO 8601 over REST; `ms()` of format.ts reads both. */
export type Time = number | string | null | undefined;
export type Num = number | null | undefined;
export interface ErrorInfo { message?: string; code?: string; type?: string; [key: string]: unknown }

export interface Execution {
  executionId: string; flowId: string; status: string; progress?: Num; currentStep?: string | null;
  startTime?: Time; endTime?: Time; durationMs?: Num; estimatedEnd?: Time; triggerType?: string | null; tenant?: string | null;
  actor?: string | null; source?: string | null; flowVersion?: string | null; priority?: number | string | null;
  error?: ErrorInfo | string | null; stepCounts?: Record<string, number>; labels?: Record<string, string>;
  steps?: Step[]; validations?: Array<Record<string, unknown>>; events?: Array<Record<string, unknown>>;
}
export interface Step {
  stepId: string; name: string; type?: string | null; status: string; parentStepId?: string | null; nodeId?: string | null;
  attempt?: number; startTime?: Time; endTime?: Time; durationMs?: Num; error?: ErrorInfo | string | null;
}
export interface Alert {
  id: string; ruleId: string; name: string; severity: string; condition: string; labels?: Record<string, string>;
  annotations?: Record<string, string>; value?: Num; status: string; startsAt?: Time; firedAt?: Time; endsAt?: Time;
  acknowledgedBy?: string | null; silencedBy?: string[]; inhibitedBy?: string[];
  notifications?: Array<{ channel: string; status: string; at?: Time }>;
}
export interface Rule {
  id: string; name: string; condition: string; severity: string; enabled?: boolean; state?: string; lastValue?: Num;
  lastEvaluation?: Time; activeAlerts?: number | unknown[]; source?: { kind: string; file?: string; line?: number };
}
export interface RuleLimit { condition: string; enabled?: boolean }
export interface LogLine {
  time: number; level: string; source: string; text: string; type: string; flowId?: string; executionId?: string; ruleId?: string;
}
export interface Quantiles { p50?: Num; p95?: Num; p99?: Num }
export interface Metrics {
  latency?: { flowExecution?: Quantiles; validation?: Quantiles; stepExecution?: Quantiles };
  throughput?: { flowsPerSecond?: Num; flowsPerMinute?: Num; validationsPerSecond?: Num; stepsPerSecond?: Num };
  errorRates?: { flowExecution?: Num; overall?: Num; validation?: Num; stepExecution?: Num };
  resourceUtilization?: { cpu?: Num; memory?: Num; [key: string]: unknown };
}
export interface Layer { avgDuration?: Num; successRate?: Num; cacheHitRate?: Num; p95?: Num; failures?: Array<Record<string, unknown>> }
export interface Validation {
  totalOperations?: Num; successRate?: Num; avgDuration?: Num; cacheHitRate?: Num; layerPerformance?: Record<string, Layer>;
}
export interface Health {
  overall: string; reasons?: string[]; components?: Record<string, { status: string; detail?: string }>; clients?: Num; streams?: Num;
  uptime?: Num; version?: string; rulesTotal?: Num; rulesEvaluated?: Num; configError?: string | null;
}
export interface ClientRow {
  clientId: string; address: string; subject?: string | null; roles: string[]; connectedAt: Time; lastSeen: Time; subscriptions: string[];
  messagesSent: number; bytesSent: number; bufferedBytes: number; behindMs: number; conflated: number; compression: boolean;
}
export interface Message {
  type: string; stream?: string; seq?: number; epoch?: string; data?: any; snapshot?: boolean; more?: boolean; timestamp?: number;
}
export interface Flow {
  flowId: string; executions?: Num; counts?: Record<string, number>; active?: Num; errorRate?: Num; lastExecution?: Execution | null;
  latency?: Quantiles; [key: string]: unknown;
}
