// The GraphQL-over-HTTP audits of graphql-http. Every MUST and SHOULD has to be met; MAYs are only noted.
// Environment: KITH_URL; optional KITH_TIMEOUT.
import { serverAudits } from 'graphql-http';
import { base, fail, finish, limitTime } from './common.mjs';

limitTime();
const audits = serverAudits({ url: `${base()}/graphql`, fetchFn: fetch });
const counts = { ok: 0, notice: 0, warn: 0, error: 0 };

for (const audit of audits) {
  // An audit throws only when it cannot be run at all, because the server is away, say.
  const result = await audit.fn().catch((error) => fail(`${audit.id} ${audit.name}`, error));
  counts[result.status] += 1;
  if (result.status === 'ok') continue;
  const { status, headers } = result.response;
  const kind = result.status === 'notice' ? 'note' : 'NOT MET';
  console.log(`${kind}: ${result.id} ${result.name}: ${result.reason} (${status} ${headers.get('content-type')})`);
}

console.log(`${audits.length} audits: ${counts.ok} ok, ${counts.error} MUST, ${counts.warn} SHOULD and ${counts.notice} MAY not met`);
if (audits.length === 0 || counts.error + counts.warn > 0) fail('the server does not keep to GraphQL over HTTP');
finish();
