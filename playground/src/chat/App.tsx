import './ui';
import { useEffect, useRef, useState } from 'react';
import { useAccount, useEnded } from '../shared/accounts';
import { at } from '../shared/server';
import { ResetPasswordPage, SignInPage, VerifyEmailPage } from './accounts';
import { KithProvider, navigate } from './api';
import { JoinPage } from './groups';
import { landing } from './landing';
import { ClaimInvitePage } from './people';
import { Shell } from './Shell';
import { Toasts } from './ui';

export function App() {
  const account = useAccount();
  const ended = useEnded();
  const [landed, setLanded] = useState(landing);

  // What one person looks at is no place for the next; who only logs in again goes on there.
  const whose = account?.id ?? ended?.id;
  const before = useRef(whose);
  useEffect(() => {
    if (before.current && whose !== before.current) navigate('/');
    before.current = whose;
  }, [whose]);

  // The code or the token is used up or not wanted: it leaves the address.
  function done(hash = '') {
    history.replaceState(null, '', at('').href + hash);
    setLanded(null);
  }

  const page = (() => {
    switch (landed?.page) {
      case 'verify-email':
        return <VerifyEmailPage token={landed.token} onDone={() => done()} />;
      case 'reset-password':
        return <ResetPasswordPage token={landed.token} onDone={() => done()} />;
      case 'join':
        return <JoinPage code={landed.code} onDone={done} />;
      case 'invite':
        return <ClaimInvitePage token={landed.token} onDone={done} />;
      case undefined:
        return account ? <Shell /> : <SignInPage />;
    }
  })();

  return (
    <>
      {account ? (
        <KithProvider key={account.id} account={account}>
          {page}
        </KithProvider>
      ) : (
        page
      )}
      <Toasts />
    </>
  );
}
