-- recipients/off_list: the recipients that are switched off, and why.
select
    receiver_off.channel,
    receiver_off.target,
    receiver_off.off_at,
    receiver_off.because
from ledger.receiver_off
