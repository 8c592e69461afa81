import './ui';
import { useState } from 'react';
import { useAccount } from '../shared/accounts';
import { at } from '../shared/server';
import { ResetPasswordPage, SignInPage, VerifyEmailPage } from './accounts';
import { KithProvider } from './api';
import { JoinPage } from './groups';
import { landing } from './landing';
import { ClaimInvitePage } from './people';
import { Shell } from './Shell';
import { Toasts } from './ui';

export function App() {
  const account = useAccount();
  const [landed, setLanded] = useState(landing);

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
