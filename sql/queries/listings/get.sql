-- listings/get: the key after which the listing of a bucket goes on.
select listing.after_key
from ledger.listing
where listing.bucket = :bucket
