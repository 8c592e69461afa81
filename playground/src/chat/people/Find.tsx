import { useState } from 'react';
import type { PersonFragment } from '../../gql/graphql';
import { EmptyState, Pages, SearchField, SearchIcon, Section, usePages, useSettled } from '../ui';
import { SEARCH_PEOPLE } from './documents';
import { InviteByEmail } from './InviteByEmail';
import { InviteByUsername } from './InviteByUsername';
import styles from './People.module.css';
import { PersonRow } from './PersonRow';
import { Relation } from './Relation';

/** Looking for people, and inviting those who cannot be found. */
export function Find({ onPerson }: { onPerson(userId: string): void }) {
  const [text, setText] = useState('');
  const query = useSettled(text.trim().replace(/^@/, '').slice(0, 32));
  return (
    <div className={styles.stack}>
      <Section title="Search">
        <SearchField label="Search for people" placeholder="How a username begins" value={text} onChange={setText} maxLength={33} autoCapitalize="none" />
        {query && <Results key={query} query={query} onPerson={onPerson} />}
      </Section>
      <Section title="Invite by username" lead="Who does not want to be found can be invited all the same, by their exact username.">
        <InviteByUsername />
      </Section>
      <Section title="Invite by mail" lead="They get a mail with a link. You are not told whether they are here already.">
        <InviteByEmail />
      </Section>
    </div>
  );
}

function Results({ query, onPerson }: { query: string; onPerson(userId: string): void }) {
  const pages = usePages(SEARCH_PEOPLE, { query }, (data) => data.searchUsers);
  const exact = pages.data?.exact;
  const others = pages.edges?.map(({ node }) => node).filter(({ id }) => id !== exact?.id);
  const people: PersonFragment[] | undefined = others && (exact ? [exact, ...others] : others);
  return (
    <Pages
      pages={{ ...pages, edges: people }}
      label="People found"
      keyOf={({ id }) => id}
      empty={
        <EmptyState icon={<SearchIcon />} title="Nobody found">
          Only who wants to be found comes up here. If you know the whole username, invite them below.
        </EmptyState>
      }
    >
      {(person) => <PersonRow person={person} onPress={() => onPerson(person.id)} trailing={<Relation person={person} />} />}
    </Pages>
  );
}
