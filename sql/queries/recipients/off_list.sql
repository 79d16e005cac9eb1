-- recipients/off_list: who is told nothing for the time being, and why.
select
    receiver_off.channel,
    receiver_off.target,
    receiver_off.off_at,
    receiver_off.because
from ledger.receiver_off
