-- persons/know: the person with this identity, made at the first sign-in; name and e-mail address are the provider's latest.
insert into access.person (issuer, subject, name, email)
values (:issuer, :subject, :name, :email)
on conflict (issuer, subject) do update
    set
        name = excluded.name,
        email = excluded.email
returning person.id::text as id
