import { useEffect } from 'react';
import { useClient } from 'urql';
import { graphql } from '../../gql';
import type { ExportFragment } from '../../gql/graphql';
import { at } from '../../shared/server';
import { Button, DownloadIcon, inWords, Notice, refusals, RelativeTime, Section, Spinner, useSubmit } from '../ui';
import styles from './Settings.module.css';

graphql(`
  fragment Export on DataExport {
    id
    status
    requestedAt
    expiresAt
    url
  }
`);

const REQUEST_DATA_EXPORT = graphql(`
  mutation RequestDataExport {
    requestDataExport {
      dataExport {
        ...Export
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

const EXPORT = graphql(`
  query LatestExport {
    viewer {
      id
      dataExport {
        ...Export
      }
    }
  }
`);

/** An archive of what is the person's own: asked for, waited for, fetched. */
export function DataExportSection({ dataExport, onAsk }: { dataExport: ExportFragment | null; onAsk(): void }) {
  const client = useClient();
  const isPending = dataExport?.status === 'PENDING';

  useEffect(() => {
    if (!isPending) return;
    const timer = setInterval(() => void client.query(EXPORT, {}, { requestPolicy: 'network-only' }).toPromise(), 2_000);
    return () => clearInterval(timer);
  }, [client, isPending]);

  const request = useSubmit(async () => {
    const { data, error } = await client.mutation(REQUEST_DATA_EXPORT, {});
    const refused = refusals(error, data?.requestDataExport);
    if (refused.length === 0) onAsk();
    return refused;
  });

  // An address works for 15 minutes, so it is asked for when it is needed.
  const download = useSubmit(async () => {
    const { data, error } = await client.query(EXPORT, {}, { requestPolicy: 'network-only' });
    const url = data?.viewer?.dataExport?.url;
    if (!url) return refusals(error).length ? refusals(error) : [{ message: 'It is not there any more. Ask for another.' }];
    const link = document.createElement('a');
    link.href = at(url).href;
    link.download = '';
    link.click();
    return [];
  });

  const errors = [...request.errors, ...download.errors];
  return (
    <Section title="Your data" lead="One document with your profile, your friends, your invites and everything you wrote.">
      {dataExport && <State dataExport={dataExport} />}
      <div className={styles.line}>
        {dataExport?.status === 'READY' && (
          <Button kind="primary" onPress={() => void download.submit()} isPending={download.pending}>
            <DownloadIcon size={18} /> Download
          </Button>
        )}
        {!isPending && (
          <Button onPress={() => void request.submit()} isPending={request.pending}>
            {dataExport ? 'Ask for a new archive' : 'Ask for an archive'}
          </Button>
        )}
      </div>
      {errors.length > 0 && <Notice kind="danger">{inWords(errors)}</Notice>}
    </Section>
  );
}

function State({ dataExport: { status, requestedAt, expiresAt } }: { dataExport: ExportFragment }) {
  switch (status) {
    case 'PENDING':
      return (
        <p role="status" className={styles.line}>
          <span>
            <Spinner /> It is being made.
          </span>
        </p>
      );
    case 'READY':
      return (
        <p role="status">
          Ready, made <RelativeTime at={requestedAt} />
          {expiresAt && (
            <>
              {' '}
              and deleted <RelativeTime at={expiresAt} />
            </>
          )}
          .
        </p>
      );
    case 'FAILED':
      return <Notice kind="danger">It could not be made. Ask for another.</Notice>;
    case 'EXPIRED':
      return <p className={styles.soft}>The last one was deleted, as its time was over.</p>;
  }
}
