//! Offers and answers of a session.

use std::time::Instant;

use str0m::IceCreds;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelConfig;

use super::sdp::{self, RemoteSdp};
use super::{Negotiated, SILENT, SdpError, Session, invalid};
use crate::identity::Fingerprint;

impl Session {
    /// Offers a connection. Channels are for [`Session::open`], once it is connected: SCTP starts
    /// its timer when it is given something, however long ICE and DTLS still take, and would begin
    /// with a time-out and a window of one packet.
    ///
    /// # Errors
    ///
    /// [`SdpError::NothingToOffer`] if there is an offer already.
    pub fn offer(&mut self, now: Instant) -> Result<String, SdpError> {
        let mut api = self.rtc.sdp_api();
        // str0m offers SCTP for the sake of a channel only. This one says nothing on the wire.
        let silent = ChannelConfig { negotiated: Some(SILENT), ..ChannelConfig::default() };
        self.silent = Some(api.add_channel_with_config(silent));
        let made = api.apply();
        self.drain(now);
        let (offer, pending) = made.ok_or(SdpError::NothingToOffer)?;
        self.pending = Some((pending, None));
        Ok(offer.to_sdp_string())
    }

    /// Offers an ICE restart: new credentials, the candidates of now. The transport goes on with
    /// the old ones until the answer is here, and DTLS and SCTP never notice.
    ///
    /// # Errors
    ///
    /// [`SdpError::NothingToOffer`] before the first offer.
    pub fn restart_offer(&mut self, now: Instant, new: IceCreds) -> Result<String, SdpError> {
        let mut api = self.rtc.sdp_api();
        let theirs = api.ice_restart(true);
        let made = api.apply();
        self.drain(now);
        let (offer, pending) = made.ok_or(SdpError::NothingToOffer)?;
        let text = sdp::replace_credentials(&offer.to_sdp_string(), &theirs, &new);
        self.pending = Some((pending, Some(new)));
        Ok(text)
    }

    /// Takes an offer and answers it. An offer with changed credentials restarts ICE, for which
    /// `new` are the credentials of this side; it drops an offer of ours that is still open.
    ///
    /// # Errors
    ///
    /// If the text is not a usable offer.
    pub fn answer(
        &mut self,
        now: Instant,
        offer: &str,
        new: IceCreds,
    ) -> Result<Negotiated, SdpError> {
        let remote = self.read(offer)?;
        let offer = SdpOffer::from_sdp_string(&remote.text).map_err(invalid)?;
        let before = self.rtc.direct_api().local_ice_credentials();
        self.pending = None;
        let answer = self.rtc.sdp_api().accept_offer(offer).map_err(invalid);
        self.drain(now);
        let mut answer = answer?.to_sdp_string();
        let after = self.rtc.direct_api().local_ice_credentials();
        if after != before {
            answer = sdp::replace_credentials(&answer, &after, &new);
            self.set_credentials(now, new);
        }
        Ok(self.negotiated(now, answer, remote))
    }

    /// Takes the answer to the last offer.
    ///
    /// # Errors
    ///
    /// If no offer is open or the text is not a usable answer.
    pub fn accept_answer(&mut self, now: Instant, answer: &str) -> Result<Negotiated, SdpError> {
        let remote = self.read(answer)?;
        let answer = SdpAnswer::from_sdp_string(&remote.text).map_err(invalid)?;
        let (pending, new) = self.pending.take().ok_or(SdpError::NoPendingOffer)?;
        let accepted = self.rtc.sdp_api().accept_answer(pending, answer).map_err(invalid);
        self.drain(now);
        accepted?;
        if let Some(new) = new {
            self.set_credentials(now, new);
        }
        Ok(self.negotiated(now, String::new(), remote))
    }

    pub(super) fn read(&self, description: &str) -> Result<RemoteSdp, SdpError> {
        let named = Fingerprint::in_sdp(description);
        if let Some(expected) = self.config.expected
            && named != Some(expected)
        {
            return Err(SdpError::Fingerprint { expected, named });
        }
        sdp::read(description, self.config.candidates)
    }

    pub(super) fn set_credentials(&mut self, now: Instant, new: IceCreds) {
        self.rtc.direct_api().set_local_ice_credentials(new.clone());
        self.credentials = new;
        self.drain(now);
    }

    pub(super) fn negotiated(
        &mut self,
        now: Instant,
        answer: String,
        remote: RemoteSdp,
    ) -> Negotiated {
        // str0m's ICE agent has no deadline before it was told the time once: without this the
        // side that answers would send no check until it gets one, which its NAT may keep out.
        self.handle_timeout(now);
        self.remote_max_message = remote.max_message;
        Negotiated {
            answer,
            local: self.credentials.clone(),
            remote: remote.credentials,
            addresses: remote.addresses,
        }
    }
}
