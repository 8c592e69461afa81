import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './style.css';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import { fetcher } from './fetcher.js';
import { setSession, useSession } from './session.js';
import { tabs } from './operations.js';

// GraphiQL asks for the editor only after its first render. Asking now lets both load side by side.
import('monaco-graphql/esm/monaco-editor.js');

// What the editors show at first: the active one of the stored tabs, else the first example. GraphiQL keeps the editors'
// contents beside the tabs and fits the two together at a visit; they do not fit after a quick reload or when two windows
// share the storage, and it then opens one more tab. Given by hand they always fit.
function firstContents() {
  let tab = tabs[0];
  try {
    const stored = JSON.parse(localStorage.getItem('graphiql:tabState'));
    tab = stored.tabs[stored.activeTabIndex] ?? tab;
  } catch {
    // Nothing stored, or storage is forbidden.
  }
  return { initialQuery: tab.query ?? '', initialVariables: tab.variables ?? '' };
}

function Playground() {
  return (
    <GraphiQL
      {...firstContents()}
      fetcher={fetcher}
      defaultTabs={tabs}
      defaultEditorToolsVisibility="variables"
      schemaDescription
    >
      <GraphiQL.Logo>
        <Who />
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

function Who() {
  const session = useSession();
  return (
    <span className="kith-who">
      <strong>Kith</strong>
      {session && (
        <button type="button" title="Forget the access token of this window" onClick={() => setSession(null)}>
          {session.name ?? 'signed in'} ×
        </button>
      )}
    </span>
  );
}

createRoot(document.getElementById('kith')).render(<Playground />);
