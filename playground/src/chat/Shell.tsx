import { useEffect } from 'react';
import { useQuery } from 'urql';
import { graphql } from '../gql';
import { at } from '../shared/server';
import { SettingsPage } from './accounts';
import { navigate, useRoute } from './api';
import { ConnectionLine } from './ConnectionLine';
import { ConversationList, useUnread } from './conversations/ConversationList';
import { ConversationPane } from './messages/ConversationPane';
import { SearchPage } from './messages/SearchPage';
import { PeoplePage, useWaitingInvites } from './people';
import { Avatar, ButtonLink, ChatIcon, CountBadge, EmptyState, PeopleIcon, SearchIcon, SettingsIcon, classes } from './ui';
import styles from './Shell.module.css';

const MY_NAME = graphql(`
  query MyName {
    viewer {
      id
      user {
        id
        displayName
        username
      }
    }
  }
`);

const PLACES = [
  { page: '', to: '#/', label: 'Chats', Icon: ChatIcon },
  { page: 'people', to: '#/people', label: 'People', Icon: PeopleIcon },
  { page: 'search', to: '#/search', label: 'Search', Icon: SearchIcon },
  { page: 'settings', to: '#/settings', label: 'Settings', Icon: SettingsIcon },
] as const;

/** What somebody sees who is signed in: the places, the conversations, and what is open. */
export function Shell() {
  const route = useRoute();
  const unread = useUnread();
  const [{ data }] = useQuery({ query: MY_NAME });
  const me = data?.viewer?.user;
  const invites = useWaitingInvites();

  useEffect(() => {
    document.title = unread ? `(${unread}) Kith` : 'Kith';
    return () => {
      document.title = 'Kith';
    };
  }, [unread]);

  const place = route.page === 'c' ? '' : route.page;
  return (
    <div className={classes(styles.shell, route.page !== '' && styles.open, route.page === 'c' && styles.talking)}>
      <aside className={styles.side}>
        <header className={styles.head}>
          {me && <Avatar id={me.id} name={me.displayName} size="small" />}
          <strong className={styles.me} dir="auto">
            {me?.displayName ?? ''}
          </strong>
          <a className={styles.explorer} href={at('explorer').href} title="The explorer: the API behind this">
            Explorer
          </a>
        </header>
        <ConnectionLine />
        <ConversationList selected={route.page === 'c' ? route.id : ''} />
      </aside>
      <main className={styles.main}>
        {route.page === 'c' && <ConversationPane key={route.id} id={route.id} sequence={route.sequence} />}
        {route.page === 'people' && <PeoplePage />}
        {route.page === 'settings' && <SettingsPage />}
        {route.page === 'search' && <SearchPage />}
        {route.page === '' && (
          <div className={styles.nothing}>
            <EmptyState
              title="Choose a conversation"
              icon={<ChatIcon size={32} />}
              action={
                <ButtonLink href="#/people" onPress={() => navigate('/people')}>
                  Find people
                </ButtonLink>
              }
            >
              It opens here. To begin one, find somebody and invite them: when they accept, you can write.
            </EmptyState>
          </div>
        )}
      </main>
      <nav aria-label="Places" className={styles.places}>
        {PLACES.map(({ page, to, label, Icon }) => (
          <a key={page} href={to} className={styles.place} aria-current={place === page ? 'page' : undefined}>
            <span className={styles.icon}>
              <Icon />
              {page === 'people' && <CountBadge count={invites} label="invites" />}
            </span>
            {label}
          </a>
        ))}
      </nav>
    </div>
  );
}
