// Behind the stock app-config.js of OHIF: its own entry for an Orthanc is the data source, at the address of the page.
const orthanc = window.config.dataSources.find(one => one.sourceName === 'orthanc').configuration;
for (const root of ['wadoUriRoot', 'qidoRoot', 'wadoRoot']) orthanc[root] = window.location.origin + '/dicom-web';
window.config.defaultDataSourceName = 'orthanc';
