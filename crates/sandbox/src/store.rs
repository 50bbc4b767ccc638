//! s3s-fs 0.14.1, with the differences from S3 corrected that affect this
//! project.
//!
//! s3s-fs itself creates missing buckets, keeps an object whose checksum does
//! not match, checks neither the checksums nor the entity tags of parts, and
//! binds an upload to the access key that created it. (S3 binds an upload to
//! the account, so that credentials can be renewed in the meantime.)

use std::path::PathBuf;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPartsInput, ListPartsOutput, PutObjectInput, PutObjectOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;

use crate::checked::{Claim, Verdict};
use crate::uploads::{Part, Uploads};

/// The S3 operations on the folder.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) files: FileSystem,
    pub(crate) root: PathBuf,
    pub(crate) uploads: Uploads,
}

impl Store {
    fn need_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() {
            return Ok(());
        }
        let text = "The specified bucket does not exist";
        Err(S3Error::with_message(S3ErrorCode::NoSuchBucket, text))
    }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.need_bucket(&request.input.bucket)?;
        let claim = Claim::new(&request.headers, request.trailing_headers.as_ref());
        if request.input.checksum_algorithm.is_none() {
            request.input.checksum_algorithm = claim.trailing_algorithm();
        }
        let verdict = Verdict::default();
        request.input.body = request.input.body.take().map(|body| claim.check(body, &verdict));
        let stored = self.files.put_object(request).await;
        Ok(verdict.settle(stored)?.0)
    }

    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.need_bucket(&request.input.bucket)?;
        request.credentials = None;
        let created = self.files.create_multipart_upload(request).await?;
        if let Some(id) = &created.output.upload_id {
            self.uploads.begin(id);
        }
        Ok(created)
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let (id, number) = (request.input.upload_id.clone(), request.input.part_number);
        self.need_bucket(&request.input.bucket)?;
        self.uploads.need_open(&id)?;
        let claim = Claim::new(&request.headers, request.trailing_headers.as_ref());
        let verdict = Verdict::default();
        request.input.body = request.input.body.take().map(|body| claim.check(body, &verdict));
        request.credentials = None;
        let stored = self.files.upload_part(request).await;
        let (mut response, sums) = verdict.settle(stored)?;

        let path = self.root.join(format!(".upload_id-{id}.part-{number}"));
        let len = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let output = &mut response.output;
        let part = Part { e_tag: output.e_tag.clone(), len, sums: sums.clone() };
        if let Err(error) = self.uploads.add(&id, number, part) {
            // The upload was aborted while this part arrived, so nothing else
            // would delete the part.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        output.checksum_crc32 = sums.checksum_crc32;
        output.checksum_crc32c = sums.checksum_crc32c;
        output.checksum_crc64nvme = sums.checksum_crc64nvme;
        output.checksum_sha1 = sums.checksum_sha1;
        output.checksum_sha256 = sums.checksum_sha256;
        Ok(response)
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = &request.input;
        let id = input.upload_id.clone();
        if let Some(e_tag) = self.uploads.completed(&id) {
            let e_tag = Some(e_tag);
            let (bucket, key) = (Some(input.bucket.clone()), Some(input.key.clone()));
            let output = CompleteMultipartUploadOutput { bucket, key, e_tag, ..Default::default() };
            return Ok(S3Response::new(output));
        }
        let parts = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref());
        self.uploads.check(&id, parts.unwrap_or_default())?;
        request.credentials = None;
        let mut completed = self.files.complete_multipart_upload(request).await?;
        // The object is in place at this point, and only the answer is missing.
        if let Some(answer) = completed.output.future.take() {
            completed.output = answer.await?;
        }
        if let Some(e_tag) = &completed.output.e_tag {
            self.uploads.complete(&id, e_tag.clone());
        }
        Ok(completed)
    }

    async fn abort_multipart_upload(
        &self,
        mut request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let id = request.input.upload_id.clone();
        self.uploads.need_open(&id)?;
        self.uploads.abort(&id);
        request.credentials = None;
        let aborted = self.files.abort_multipart_upload(request).await;
        if aborted.is_err() {
            // A part was arriving. As with S3, the upload can be aborted again.
            self.uploads.begin(&id);
        }
        aborted
    }

    async fn list_parts(
        &self,
        mut request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.uploads.need_open(&request.input.upload_id)?;
        request.credentials = None;
        self.files.list_parts(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.files.head_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.files.delete_object(request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }
}
