-- listings/get: where the listing of a bucket goes on.
select listing.after_key
from ledger.listing
where listing.bucket = :bucket
