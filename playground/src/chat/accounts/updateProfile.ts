import { useClient } from 'urql';
import { graphql } from '../../gql';
import type { UpdateProfileInput } from '../../gql/graphql';
import { current, store } from '../../shared/accounts';
import { refusals, type Refusals } from '../ui';

const UPDATE_PROFILE = graphql(`
  mutation UpdateProfile($input: UpdateProfileInput!) {
    updateProfile(input: $input) {
      viewer {
        ...Account
      }
      userErrors {
        code
        message
        field
      }
    }
  }
`);

/** Changes what is given. The window's account is remembered by its new name. */
export function useUpdateProfile() {
  const client = useClient();
  return async (input: UpdateProfileInput): Promise<Refusals> => {
    const { data, error } = await client.mutation(UPDATE_PROFILE, { input });
    const viewer = data?.updateProfile.viewer;
    const account = current();
    if (viewer && account?.id === viewer.user.id) {
      const { username, displayName } = viewer.user;
      store({ ...account, username, displayName });
    }
    return refusals(error, data?.updateProfile);
  };
}
